"""A short fuzz of both parsers in each run of the suite; `make fuzz` is a long one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz import targets
from tests.fuzz.inputs import payloads, policies

_short = settings(
    max_examples=500,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.checklist("7.1", 9)
@given(body=payloads())
@_short
def test_a_payload_is_accepted_or_refused(body: bytes) -> None:
    targets.payload(body)


@pytest.mark.checklist("7.1", 42)
@given(text=policies())
@_short
def test_a_policy_is_accepted_or_refused_with_sentences(tmp_path: Path, text: bytes) -> None:
    targets.policy(tmp_path / "remediator.toml")(text)
