"""Families as text: formats 0.0.4 and 1.0.0 of Prometheus, and OpenMetrics 1.0.0.

Byte for byte what prometheus_client renders (a test compares them), for what there is here: plain
names, no timestamps, no exemplars, no `_created`, no negative zero. It is several times as fast,
which counts with 10,000 addresses, because it renders each label once instead of once a sample.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from prometheus_client.core import Metric
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

_PAIRS = 1 << 16  # rendered pairs that are remembered: the labels of some 10,000 addresses

#: Types of OpenMetrics that the older format does not have, and the suffix of the family then.
_AS_TEXT = {
    "counter": ("counter", "_total"),
    "info": ("gauge", "_info"),
    "stateset": ("gauge", ""),
    "unknown": ("untyped", ""),
    "gaugehistogram": ("histogram", ""),
}


def render_text(families: Iterable[Metric]) -> bytes:
    """Return the body in the text format."""
    lines: list[str] = []
    for family in families:
        kind, suffix = _AS_TEXT.get(family.type, (family.type, ""))
        name = family.name + suffix
        lines.append(f"# HELP {name} {_escaped_help(family.documentation)}\n")
        lines.append(f"# TYPE {name} {kind}\n")
        _samples(lines, family.samples)
    return "".join(lines).encode()


def render_openmetrics(families: Iterable[Metric]) -> bytes:
    """Return the body in the OpenMetrics format."""
    lines: list[str] = []
    for family in families:
        lines.append(f"# HELP {family.name} {_escaped(family.documentation)}\n")
        lines.append(f"# TYPE {family.name} {family.type}\n")
        if family.unit:
            lines.append(f"# UNIT {family.name} {family.unit}\n")
        _samples(lines, family.samples)
    lines.append("# EOF\n")
    return "".join(lines).encode()


def _samples(lines: list[str], samples: Iterable[Sample]) -> None:
    names: list[str] = []
    for sample in samples:
        labels = sample.labels
        if not labels:
            lines.append(f"{sample.name} {_number(sample.value)}\n")
            continue
        if len(labels) != len(names) or not all(map(labels.__contains__, names)):
            names = sorted(labels)
        pairs = ",".join([_pair(name, labels[name]) for name in names])
        lines.append(f"{sample.name}{{{pairs}}} {_number(sample.value)}\n")


@lru_cache(_PAIRS)
def _pair(name: str, value: str) -> str:
    return f'{name}="{_escaped(value)}"'


@lru_cache(_PAIRS)
def _number(value: float) -> str:
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _escaped_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
