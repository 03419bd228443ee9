"""Inputs for the parsers of payload and policy: damaged good ones, and what looks like one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.support.remediator import alert, notification

EXAMPLE = Path(__file__).parents[2] / "remediator" / "remediator.toml.example"

_scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("4")
)
_json = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)
_WORDS = (
    *("status", "labels", "fingerprint", "startsAt", "endsAt", "annotations", "alerts"),
    *("version", "truncatedAlerts", "firing", "resolved", "4", "1"),
)
_TOKENS = (
    *('"', "'", '"""', "{", "}", "[", "]", "[[", "]]", "=", ",", "\n", "#", ".", "-", "\x00"),
    *("policy", "match", "limits", "allow", "maintenance", "signature", "tls", "storm", "off"),
    *(
        "name",
        "action",
        "regex",
        "threshold",
        "1h",
        "3/1h",
        "99999999999999999999d",
        "(",
        "(?:a*)*",
    ),
    *("2026-12-01T06:00:00Z", "nan", "inf", "1e999", "0x1", "true", "\ud7ff", "\U0010ffff"),
)


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """A body for `POST /alerts`."""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return draw(st.binary(max_size=200))
    if kind == 1:
        return json.dumps(draw(_json)).encode("utf-8", "surrogatepass")
    document: dict[str, Any] = notification(alert(started=1_800_000_000.0))
    if kind == 2:
        where = draw(
            st.sampled_from((document, document["alerts"][0], document["alerts"][0]["labels"]))
        )
        where[draw(st.sampled_from(_WORDS) | st.text(max_size=10))] = draw(_json)
        return json.dumps(document).encode("utf-8", "surrogatepass")
    return _damaged(draw, json.dumps(document).encode())


@st.composite
def policies(draw: st.DrawFn) -> bytes:
    """The text of a policy file."""
    kind = draw(st.integers(0, 2))
    if kind == 0:
        return draw(st.binary(max_size=200))
    if kind == 1:
        tokens = draw(st.lists(st.sampled_from(_TOKENS) | st.text(max_size=5), max_size=30))
        return " ".join(tokens).encode("utf-8", "surrogatepass")
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and line[0] != "#"]
    number = draw(st.integers(0, len(lines) - 1))
    key, equals, _ = lines[number].partition("=")
    value = draw(st.sampled_from(_TOKENS) | st.text(max_size=10) | st.integers().map(str))
    lines[number] = f"{key}{equals}{value}"
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _damaged(draw: st.DrawFn, good: bytes) -> bytes:
    start = draw(st.integers(0, len(good)))
    length = draw(st.integers(0, 20))
    return good[:start] + draw(st.binary(max_size=20)) + good[start + length :]
