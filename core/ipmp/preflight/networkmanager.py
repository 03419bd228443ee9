"""NetworkManager: does it manage a member? (NetworkManager.conf(5), "Device List Format")

It deactivates a device that has lost its carrier for 6 s, with all addresses, and puts its own back
when they have moved (linux-peers 1.10).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

import msgspec

from ipmp.preflight.finding import DropIn, Finding, Member, listing, undeclared, wrong
from ipmp.preflight.ini import Entry, entries, is_true, last
from ipmp.preflight.root import Root

SERVICE = "NetworkManager"
CONFIG = "/etc/NetworkManager/NetworkManager.conf"
DROPIN = "/etc/NetworkManager/conf.d/90-ipmp.conf"
#: Who sets the links up at boot when NetworkManager does not.
UNIT_DROPIN = "/etc/systemd/system/mpathd.service.d/90-ipmp.conf"
CONF_D = (
    "/etc/NetworkManager/conf.d",
    "/run/NetworkManager/conf.d",
    "/usr/lib/NetworkManager/conf.d",
)
PROFILES = (
    "/etc/NetworkManager/system-connections",
    "/run/NetworkManager/system-connections",
    "/usr/lib/NetworkManager/system-connections",
)
STATE = "/run/NetworkManager/devices"

_SEPARATORS = re.compile(r"[;,]\s*")


class Facts(msgspec.Struct, frozen=True):
    """What NetworkManager is told, and what it says of devices."""

    config: tuple[Entry, ...] = ()  # of all files, in the order in which they count
    profiles: dict[str, str] = {}  # interface -> path of a profile that names it
    managed: dict[int, bool] = {}  # interface index -> whether it manages it now
    ifupdown: frozenset[str] = frozenset()  # interfaces of /etc/network/interfaces


def read(root: Root, ifupdown: frozenset[str]) -> Facts:
    """Read its configuration, profiles and, on a live host, the state of its devices."""
    layers = list(root.layered(CONF_D, "*.conf"))
    before = [text for path, text in layers if not path.startswith("/etc/")]
    after = [text for path, text in layers if path.startswith("/etc/")]
    config = [e for text in (*before, root.text(CONFIG) or "", *after) for e in entries(text)]
    profiles: dict[str, str] = {}
    for path, text in root.layered(PROFILES, "*"):
        interface = last(entries(text), "connection", "interface-name")
        if interface is not None:
            profiles.setdefault(interface, path)
    managed = {}
    for name in filter(str.isdecimal, root.names(STATE)):
        value = last(entries(root.text(f"{STATE}/{name}") or ""), "device", "managed")
        if value is not None:
            managed[int(name)] = is_true(value, default=False)
    return Facts(tuple(config), profiles, managed, ifupdown)


def judge(facts: Facts, members: Sequence[Member]) -> Iterator[Finding]:
    """Find the members that it manages, and those that it has not let go of yet."""
    free = {m.name for m in members if _is_unmanaged(facts, m)}
    claimed = [m.name for m in members if m.name not in free and _manages_now(facts, m, True)]
    late = [m.name for m in members if m.name in free and _manages_now(facts, m, False)]
    if claimed:
        profiles = [facts.profiles[name] for name in claimed if name in facts.profiles]
        by = f" (profile {listing(profiles)})" if profiles else ""
        yield wrong(
            f"NetworkManager manages {listing(claimed)}{by}: it takes addresses away when the "
            "cable is pulled and puts its own back when they have moved; list the addresses in "
            "ipmp.toml and tell NetworkManager to leave the members alone",
            *_dropins(members),
            reload=("systemctl daemon-reload", "nmcli general reload"),
            blocked=undeclared(claimed, members),
        )
    if late:
        yield wrong(
            f"NetworkManager is configured to leave {listing(late)} alone, but has not read that "
            "yet: run `nmcli general reload`"
        )


def _dropins(members: Sequence[Member]) -> Iterator[DropIn]:
    names = [member.name for member in members]
    devices = ";".join(f"interface-name:{name}" for name in names)
    yield DropIn(DROPIN, f"[keyfile]\nunmanaged-devices+={devices}\n")
    up = "".join(f"ExecStartPre=-+/sbin/ip link set dev {name} up\n" for name in names)
    yield DropIn(UNIT_DROPIN, f"[Service]\n{up}")


def _manages_now(facts: Facts, member: Member, unknown: bool) -> bool:
    return facts.managed.get(member.ifindex, unknown) if member.ifindex else unknown


def _is_unmanaged(facts: Facts, member: Member) -> bool:
    """Whether its configuration leaves the member alone."""
    plugins = _SEPARATORS.split(last(facts.config, "main", "plugins") or "")
    if "ifupdown" in plugins and member.name in facts.ifupdown:
        managed = is_true(last(facts.config, "ifupdown", "managed"), default=False)
        if not managed:
            return True
    specs: list[str] = []
    for section, key, value in facts.config:
        if section == "keyfile" and key.rstrip("+-") == "unmanaged-devices":
            words = [word for word in _SEPARATORS.split(value) if word]
            if key.endswith("+"):
                specs += words
            elif key.endswith("-"):
                specs = [spec for spec in specs if spec not in words]
            else:
                specs = words
    return matches(specs, member) or _device_section_says_so(facts, member)


def _device_section_says_so(facts: Facts, member: Member) -> bool:
    """A [device...] section that matches and has managed=0; the first that matches counts."""
    sections = dict.fromkeys(e.section for e in facts.config if e.section.startswith("device"))
    for section in sections:
        match = last(facts.config, section, "match-device")
        managed = last(facts.config, section, "managed")
        specs = ["*"] if match is None else _SEPARATORS.split(match)
        if managed is not None and matches(specs, member):
            return not is_true(managed, default=True)
    return False


def matches(specs: Sequence[str], member: Member) -> bool:
    """Whether a device list has the member: any entry fits and no `except:` entry does."""
    excepted = [spec.removeprefix("except:") for spec in specs if spec.startswith("except:")]
    wanted = [spec for spec in specs if not spec.startswith("except:") and spec]
    if any(_fits(spec, member) for spec in excepted):
        return False
    return any(_fits(spec, member) for spec in wanted) or (bool(excepted) and not wanted)


def _fits(spec: str, member: Member) -> bool:
    kind, colon, value = spec.partition(":")
    match kind if colon else "":
        case "interface-name":
            if value.startswith("="):
                return value[1:] == member.name
            return fnmatchcase(member.name, value.removeprefix("~"))
        case "mac":
            return _is_mac(value, member)
        case "type":
            return value == "ethernet"
    return spec == "*" or spec == member.name or _is_mac(spec, member)


def _is_mac(text: str, member: Member) -> bool:
    return bool(member.hwaddr) and text.lower() == member.hwaddr.lower()
