"""Parsers for single values of the configuration.

Each takes what TOML gave and returns the canonical value, or raises `BadValue` with the end of a
sentence: the value, what is wrong with it, and what is allowed.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
W = TypeVar("W", bound=str)
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

SHOWN_LENGTH = 60  # characters of a value that a message quotes
IFNAMSIZ = 16  # include/uapi/linux/if.h, with the final NUL
MIN_DETECTION = 0.1  # seconds; Solaris' MIN_FAILURE_DETECTION_TIME
MAX_UP_DELAY = 600.0
REFRESH_RANGE = (30.0, 3600.0)  # seconds

_GROUP_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,31}")
_DURATION = re.compile(r"(-?)([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)?")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PREFIX = re.compile(r"[0-9]{1,3}")
#: Directories of /proc/sys/net/ipv[46]/conf that stand for all interfaces, so no name for one.
_SYSCTL_NAMES = ("all", "default")


class BadValue(ValueError):
    """A value that is not allowed; the text says which, why, and what would be."""


def shown(value: object) -> str:
    """Quote `value` as the file spells it, shortened; arrays and tables only as such."""
    if isinstance(value, dict):
        return "{…}"
    if isinstance(value, list):
        return "[…]" if value else "[]"
    if isinstance(value, int) and not isinstance(value, bool):
        # A hexadecimal literal may have more digits than str() of an int accepts.
        return str(value) if value.bit_length() <= 64 else f"{hex(value)[:20]}…"
    if not isinstance(value, str | bool):
        return str(value)  # fractions, dates and times
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_LENGTH else f'{text[: SHOWN_LENGTH - 2]}…"'


def require_type(value: object, wanted: type[T], allowed: str) -> T:
    """Return `value` if its type is exactly `wanted` (a boolean is no integer)."""
    if type(value) is wanted:
        return value
    raise BadValue(f"{shown(value)} is {_kind(value)}; allowed: {allowed}")


def _kind(value: object) -> str:
    kinds: dict[type, str] = {
        bool: "a boolean",
        int: "an integer",
        float: "a fraction",
        str: "a string",
        list: "an array",
        dict: "a table",
    }
    return kinds.get(type(value), "a date or time")


def boolean(value: object) -> bool:
    """Accept true and false."""
    return require_type(value, bool, "true or false")


def integer(low: int, high: int | None = None) -> Callable[[object], int]:
    """Return a parser of whole numbers from `low` to `high`."""
    allowed = f"a whole number, {low} or more" if high is None else f"{low} to {high}"

    def parse(value: object) -> int:
        number = require_type(value, int, allowed)
        if number < low or (high is not None and number > high):
            raise BadValue(f"{shown(number)} is out of range; allowed: {allowed}")
        return number

    return parse


def choice(words: tuple[W, ...]) -> Callable[[object], W]:
    """Return a parser of one of `words`."""
    allowed = ", ".join(f'"{word}"' for word in words)

    def parse(value: object) -> W:
        text = require_type(value, str, allowed)
        for word in words:
            if word == text:
                return word
        raise BadValue(f"{shown(text)} is not one of the choices; allowed: {allowed}")

    return parse


def _duration(value: object, allowed: str) -> float:
    """Return the seconds of a duration with a unit; Solaris took `10s` for 10 ms, we do not."""
    if type(value) in (int, float):
        raise BadValue(f"{shown(value)} has no unit; allowed: {allowed}")
    text = require_type(value, str, allowed)
    match = _DURATION.fullmatch(text)
    if match is None:
        raise BadValue(f"{shown(text)} is not a duration; allowed: {allowed}")
    sign, number, unit = match.groups()
    if unit is None:
        raise BadValue(f"{shown(text)} has no unit; allowed: {allowed}")
    if sign:
        raise BadValue(f"{shown(text)} is negative; allowed: {allowed}")
    return float(number) * _UNIT_SECONDS[unit]


def detection_time(value: object) -> float:
    """Accept a duration of 100 ms and more; seconds."""
    allowed = '"100ms" and longer, with the unit ms, s, m or h'
    seconds = _duration(value, allowed)
    if seconds < MIN_DETECTION:
        raise BadValue(f"{shown(value)} is too short; allowed: {allowed}")
    return seconds


def up_delay(value: object) -> float:
    """Accept a duration of up to 10 minutes; seconds."""
    allowed = '"0s" to "600s", with the unit ms, s, m or h'
    seconds = _duration(value, allowed)
    if seconds > MAX_UP_DELAY:
        raise BadValue(f"{shown(value)} is too long; allowed: {allowed}")
    return seconds


def refresh_interval(value: object) -> float | None:
    """Accept "off" (None) or a duration from 30 s to 1 h; seconds."""
    allowed = '"off" or "30s" to "3600s"'
    if value == "off":
        return None
    seconds = _duration(value, allowed)
    if not REFRESH_RANGE[0] <= seconds <= REFRESH_RANGE[1]:
        raise BadValue(f"{shown(value)} is out of range; allowed: {allowed}")
    return seconds


def group_name(value: str) -> str:
    """Accept what is safe in a path, a label and a table of `ipmpstat`."""
    if _GROUP_NAME.fullmatch(value):
        return value
    raise BadValue(
        f"{shown(value)} is not a group name; allowed: a letter, then up to 31 letters, digits "
        'or any of "_.-"'
    )


def interface_name(value: object) -> str:
    """Accept what the kernel accepts (net/core/dev.c, dev_valid_name), except what is no NIC."""
    name = require_type(value, str, "the name of an interface")
    if not name:
        raise BadValue('"" is empty; allowed: the name of an interface')
    if len(name.encode(errors="replace")) >= IFNAMSIZ:
        raise BadValue(f"{shown(name)} is too long; allowed: up to {IFNAMSIZ - 1} characters")
    if name in (".", "..") or any(c in "/:" or c.isspace() or not c.isprintable() for c in name):
        raise BadValue(
            f'{shown(name)} is not an interface name; allowed: no "/", ":" or white space'
        )
    if name == "lo":
        raise BadValue('"lo" is the loopback interface; allowed: interfaces of one IP link')
    if name in _SYSCTL_NAMES:
        raise BadValue(
            f"{shown(name)} means every interface to the kernel; allowed: the name of one interface"
        )
    return name


def data_address(value: object) -> str:
    """Accept an address that may move between members; canonical, with its prefix length."""
    interface = _interface_address(value)
    if interface.ip.is_link_local:
        raise BadValue(
            f"{shown(value)} is link-local and cannot move; allowed: an address that is valid "
            "beyond its link"
        )
    return str(interface)


def test_address(value: object) -> str:
    """Accept an address that stays on its member; canonical, with its prefix length."""
    return str(_interface_address(value))


def target(value: object) -> str:
    """Accept the address of a host that can be probed; canonical, without prefix length."""
    text = require_type(value, str, 'an address such as "192.168.1.1"')
    if "/" in text:
        raise BadValue(f"{shown(text)} has a prefix length; allowed: the address of one host")
    address = _ip(text, text)
    _require_host(address, text)
    return str(address)


def _interface_address(value: object) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    example = 'an address with its prefix length, such as "192.168.1.5/24"'
    text = require_type(value, str, example)
    host, slash, prefix = text.partition("/")
    address = _ip(host, text)
    longest = address.max_prefixlen
    if not slash:
        example = f"{address}/{24 if longest == 32 else 64}"
        raise BadValue(f'{shown(text)} has no prefix length; allowed: for example "{example}"')
    if not _PREFIX.fullmatch(prefix) or not 1 <= int(prefix) <= longest:
        raise BadValue(f"{shown(text)} has a bad prefix length; allowed: /1 to /{longest}")
    _require_host(address, text)
    interface = ipaddress.ip_interface(f"{address}/{int(prefix)}")
    _require_not_reserved_by(interface, text)
    return interface


def _ip(host: str, text: str) -> IPAddress:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise BadValue(f"{shown(text)} is not an IP address; allowed: IPv4 or IPv6") from None
    if isinstance(address, ipaddress.IPv6Address) and (address.scope_id or address.ipv4_mapped):
        raise BadValue(
            f"{shown(text)} has a scope or stands for an IPv4 address; allowed: plain IPv4 or IPv6"
        )
    return address


def _require_host(address: IPAddress, text: str) -> None:
    kinds = {
        "an unspecified": address.is_unspecified,
        "a loopback": address.is_loopback,
        "a multicast": address.is_multicast,
        "a broadcast": address == ipaddress.IPv4Address("255.255.255.255"),
    }
    for kind, applies in kinds.items():
        if applies:
            raise BadValue(f"{shown(text)} is {kind} address; allowed: the address of one host")


def _require_not_reserved_by(
    interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface, text: str
) -> None:
    """Refuse the ends of a subnet; point-to-point ones have none (RFC 3021, RFC 6164)."""
    network = interface.network
    if network.prefixlen >= network.max_prefixlen - 1:
        return
    if interface.ip == network.network_address:
        raise BadValue(f"{shown(text)} is the address of the network; allowed: one of a host in it")
    if network.version == 4 and interface.ip == network.broadcast_address:
        raise BadValue(
            f"{shown(text)} is the broadcast address of {network}; allowed: one of a host in it"
        )
