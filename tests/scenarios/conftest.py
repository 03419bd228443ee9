"""Fixtures of the scenarios: a lab for each test, and the daemon in its host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ipmp.lab import Lab
from tests.support.lab import Host, need_namespaces, running_lab

StartHost = Callable[[str], Host]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses a lab: it needs namespaces."""
    for item in items:
        if {"lab", "lab3", "namespaces"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.netns)


@pytest.fixture
def namespaces() -> None:
    """Skip where a lab cannot be had; for tests that start one by themselves."""
    need_namespaces()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab whose host has ni0 and ni1; it ends with the test."""
    with running_lab(tmp_path / "lab") as running:
        yield running


@pytest.fixture
def lab3(tmp_path: Path) -> Iterator[Lab]:
    """A lab whose host has ni0, ni1 and ni2."""
    with running_lab(tmp_path / "lab3", nics=3) as running:
        yield running


@pytest.fixture
def start_host(lab: Lab, tmp_path: Path) -> StartHost:
    """Return a function that starts mpathd in the lab with the given ipmp.toml."""

    def start(config: str) -> Host:
        return Host(lab, tmp_path, config).start()

    return start


@pytest.fixture
def start_host3(lab3: Lab, tmp_path: Path) -> StartHost:
    """Return the same for the lab with three NICs."""

    def start(config: str) -> Host:
        return Host(lab3, tmp_path, config).start()

    return start
