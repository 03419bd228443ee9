"""Fixtures of the kernel's tests; each of them that is marked `netns` has a network of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ipmp.kernel.protocol import Kernel
from tests.kernel.linux_world import linux
from tests.kernel.simulated_world import simulated
from tests.kernel.world import World
from tests.support import isolated
from tests.support.lab import need_namespaces

#: What the tests of the contract are held against, by name.
KERNELS = {"linux": linux, "simulated": simulated}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run what needs a network in a process of its own, where this machine permits it.

    Pytest asks every conftest.py, wherever the test is: scenarios profit, too, but what talks to
    a Prometheus of another test needs the loopback that all programs share.
    """
    if item.get_closest_marker("prometheus") is not None:
        return None
    if not _needs_network(item) or not isolated.possible():
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in isolated.run(item, nextitem):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Never let such a test loose on the machine's own network."""
    if _needs_network(item):
        need_namespaces()


def _needs_network(item: pytest.Item) -> bool:
    """Whether it is marked so, and not run on the simulated kernel."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    simulated_one = parameters.get("host") == "simulated"
    return item.get_closest_marker("netns") is not None and not simulated_one


@pytest.fixture(params=KERNELS)
async def host(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Kernel, World]]:
    """A kernel and its world."""
    with KERNELS[request.param]() as both:
        yield both


@pytest.fixture
def kernel(host: tuple[Kernel, World]) -> Kernel:
    """The kernel as the daemon holds it."""
    return host[0]


@pytest.fixture
def world(host: tuple[Kernel, World]) -> World:
    """Everybody else."""
    return host[1]
