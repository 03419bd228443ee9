"""`/etc/default/mpathd`, Solaris' global settings: the lowest rank of defaults.

Names, defaults and texts are Solaris' (reference: ipmp-semantics 2.1). Values are read strictly:
Solaris took `10s` for 10 ms, here it is invalid and the default stays.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from msgspec.structs import replace

from ipmp.config.schema import GroupConfig

MPATHD_DEFAULTS = Path("/etc/default/mpathd")
DEFAULT_DETECTION_MS = 10_000
MIN_DETECTION_MS = 100

NAMES = ("FAILURE_DETECTION_TIME", "FAILBACK", "TRACK_INTERFACES_ONLY_WITH_GROUPS")
_ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")


def read_mpathd_defaults(path: Path) -> tuple[GroupConfig, tuple[str, ...]]:
    """Return a nameless group with the settings of `path`, and a warning for each problem.

    A missing file means Solaris' defaults. Nothing in this file is an error.
    """
    base = GroupConfig(name="", interfaces=())
    try:
        text = path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return base, ()
    except OSError as error:
        return base, (f"{path}: the file cannot be read: {error.strerror}",)
    values, warnings = _assignments(text)
    if "FAILURE_DETECTION_TIME" in values:
        milliseconds, warning = _detection_time(values["FAILURE_DETECTION_TIME"])
        base = replace(base, failure_detection_time=milliseconds / 1000)
        warnings += warning
    if "FAILBACK" in values:
        failback, warning = _yes_no("FAILBACK", values["FAILBACK"])
        base = replace(base, failback=failback)
        warnings += warning
    if "TRACK_INTERFACES_ONLY_WITH_GROUPS" in values:
        only_groups, warning = _yes_no(
            "TRACK_INTERFACES_ONLY_WITH_GROUPS", values["TRACK_INTERFACES_ONLY_WITH_GROUPS"]
        )
        warnings += warning
        if not only_groups:
            warnings.append(
                "TRACK_INTERFACES_ONLY_WITH_GROUPS=no is not supported: only members of groups are "
                "tracked; give an interface that is to be watched a group of its own"
            )
    return base, tuple(f"{path}: {warning}" for warning in warnings)


def _assignments(text: str) -> tuple[dict[str, str], list[str]]:
    """Return the last value of each name in capitals, and what could not be understood."""
    values: dict[str, str] = {}
    warnings: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # a quotation mark without its partner
            words = [line]
        if not words:
            continue
        match = _ASSIGNMENT.fullmatch(" ".join(words))
        if match is None:
            warnings.append(f"line {number} is not NAME=value and is ignored")
        elif match[1].upper() not in NAMES:
            warnings.append(f"line {number}: unknown name {match[1]} is ignored")
        else:
            values[match[1].upper()] = match[2]
    return values, warnings


def _detection_time(value: str) -> tuple[int, list[str]]:
    milliseconds = int(value) if re.fullmatch("[0-9]{1,9}", value) else 0
    if milliseconds <= 0:
        return DEFAULT_DETECTION_MS, [
            f"Invalid failure detection time {value}, assuming default of {DEFAULT_DETECTION_MS} ms"
        ]
    if milliseconds < MIN_DETECTION_MS:
        return MIN_DETECTION_MS, [
            f"Too small failure detection time of {value}, "
            f"assuming minimum of {MIN_DETECTION_MS} ms"
        ]
    return milliseconds, []


def _yes_no(name: str, value: str) -> tuple[bool, list[str]]:
    """Return the switch; yes, with Solaris' text, for anything that is neither yes nor no."""
    if value.lower() in ("yes", "no"):
        return value.lower() == "yes", []
    return True, [f"Invalid value for {name} {value}"]
