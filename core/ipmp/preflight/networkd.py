"""systemd-networkd: does a .network file apply to a member, and does it keep its hands off?

When it (re)starts it drops addresses and routes that it does not know from links that it manages,
and its own ones when the carrier goes (systemd.network(5), networkd.conf(5); linux-peers 1.10).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec

from ipmp.preflight.finding import DropIn, Finding, Member, listing, note, undeclared, wrong
from ipmp.preflight.ini import TRUE, Entry, entries, is_true, last, listed
from ipmp.preflight.root import Root

SERVICE = "systemd-networkd"
DIRECTORIES = (
    "/etc/systemd/network",
    "/run/systemd/network",
    "/usr/local/lib/systemd/network",
    "/usr/lib/systemd/network",
    "/lib/systemd/network",
)
SETTINGS = ("/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd")
STATE = "/run/systemd/netif/links"
SETTINGS_DROPIN = "/etc/systemd/networkd.conf.d/90-ipmp.conf"
OWN_FILES = ("05-ipmp.network", "00-ipmp.network")  # the first that comes before another file

FOREIGN = ("ManageForeignRoutes", "ManageForeignRoutingPolicyRules")
DHCP = TRUE | {"ipv4", "ipv6", "both", "v4", "v6"}
KEEP = "KeepConfiguration=yes\nIgnoreCarrierLoss=yes\n"

#: What of [Match] can be judged from outside; of another key it is not known whether it fits.
JUDGED = ("Name", "MACAddress", "PermanentMACAddress", "Type")


class Network(msgspec.Struct, frozen=True):
    """One .network file with its drop-ins."""

    path: str
    entries: tuple[Entry, ...]
    origin: str = ""  # the file that it was made from

    @property
    def name(self) -> str:
        """The file's name, by which files are ordered and drop-ins found."""
        return self.path.rpartition("/")[2]

    @property
    def called(self) -> str:
        """What to call it in a sentence."""
        return f"{self.path}, made from {self.origin}" if self.origin else self.path


class Facts(msgspec.Struct, frozen=True):
    """What networkd is told, and what it says of links."""

    networks: tuple[Network, ...] = ()  # in the order in which they are tried
    settings: tuple[Entry, ...] = ()  # networkd.conf
    applied: dict[int, str] = {}  # interface index -> path of the file in use; "": unmanaged


def read(root: Root, generated: Iterable[Network] = ()) -> Facts:
    """Read its files; `generated` are those that netplan makes, or is going to make at boot."""
    networks = {}
    for path, text in root.layered(DIRECTORIES, "*.network"):
        name = path.rpartition("/")[2]
        drop_ins = [f"{directory}/{name}.d" for directory in DIRECTORIES]
        texts = (text, *(more for _, more in root.layered(drop_ins, "*.conf")))
        networks[name] = Network(path, tuple(e for t in texts for e in entries(t)))
    for network in generated:
        there = networks.get(network.name)
        if there is None:
            drop_ins = [f"{directory}/{network.name}.d" for directory in DIRECTORIES]
            more = [e for _, text in root.layered(drop_ins, "*.conf") for e in entries(text)]
            there = msgspec.structs.replace(network, entries=(*network.entries, *more))
        networks[network.name] = msgspec.structs.replace(there, origin=network.origin)
    return Facts(
        tuple(networks[name] for name in sorted(networks)), tuple(_settings(root)), _applied(root)
    )


def _settings(root: Root) -> Iterator[Entry]:
    first = next((t for d in SETTINGS if (t := root.text(f"{d}/networkd.conf"))), "")
    yield from entries(first)
    for _, text in root.layered([f"{d}/networkd.conf.d" for d in SETTINGS], "*.conf"):
        yield from entries(text)


def _applied(root: Root) -> dict[int, str]:
    """What networkd itself says; private to systemd, but what networkctl(1) reads."""
    applied = {}
    for name in filter(str.isdecimal, root.names(STATE)):
        found = list(entries(root.text(f"{STATE}/{name}") or ""))
        if last(found, "", "ADMIN_STATE") == "unmanaged":
            applied[int(name)] = ""
        elif path := last(found, "", "NETWORK_FILE"):
            applied[int(name)] = path
    return applied


def judge(facts: Facts, members: Sequence[Member]) -> Iterator[Finding]:
    """Find the files that apply to members and would take their addresses away."""
    claims: dict[str, list[str]] = {}
    for member in members:
        network = _network_of(facts, member)
        if network is not None and not _is_unmanaged(network):
            claims.setdefault(network.name, []).append(member.name)
    applied = [network for network in facts.networks if network.name in claims]
    own = _own_file(
        [n for n in applied if _leases(n) or not (_keeps(n) or _is_for_members(n, members))], claims
    )
    for network in applied:
        yield from _claim(network, claims[network.name], members, own)
    if claims:
        yield from _foreign(facts)


def _claim(
    network: Network, claimed: list[str], members: Sequence[Member], own: DropIn
) -> Iterator[Finding]:
    who = f"systemd-networkd configures {listing(claimed)} ({network.called})"
    if _leases(network):
        yield wrong(
            f"{who} by DHCP: a leased address cannot move; list static addresses in ipmp.toml and "
            "give the members a file without DHCP",
            own,
            reload=("networkctl reload",),
            blocked=undeclared(claimed, members),
        )
        return
    if not _keeps(network):
        dropin = own
        if _is_for_members(network, members):
            path = f"{DIRECTORIES[0]}/{network.name}.d/90-ipmp.conf"
            dropin = DropIn(path, f"[Network]\n{KEEP}")
        yield wrong(
            f"{who}: it drops addresses that it does not know when it restarts, and its own when "
            "the cable is pulled; tell it to keep them",
            dropin,
            reload=("networkctl reload",),
        )
    if addresses := _addresses(network):
        yield note(
            f"{who} with {listing(addresses)}: when it restarts it puts them back on "
            f"{listing(claimed)} wherever they are; better list them in ipmp.toml"
        )


def _foreign(facts: Facts) -> Iterator[Finding]:
    on = [k for k in FOREIGN if is_true(last(facts.settings, "Network", k), default=True)]
    if on:
        keys = "".join(f"{key}=no\n" for key in FOREIGN)
        yield wrong(
            f"systemd-networkd removes routes and rules that are not its own ({', '.join(on)}): "
            "routes that moved with their addresses would vanish",
            DropIn(SETTINGS_DROPIN, f"[Network]\n{keys}"),
            reload=("systemctl restart systemd-networkd",),
        )


def _network_of(facts: Facts, member: Member) -> Network | None:
    """The file that networkd says it uses, else the first that matches."""
    path = facts.applied.get(member.ifindex) if member.ifindex else None
    if path is not None:
        name = path.rpartition("/")[2]
        return next((n for n in facts.networks if n.name == name), None)
    return next((n for n in facts.networks if matches(n.entries, member)), None)


def matches(found: Sequence[Entry], member: Member) -> bool:
    """Whether [Match] fits the member, as far as can be told; an empty one fits everything."""
    asked = {key: words for key in JUDGED if (words := listed(found, "Match", key))}
    return all(_fits(key, words, member) for key, words in asked.items())


def _fits(key: str, words: list[str], member: Member) -> bool:
    inverted = words[0].startswith("!")
    if inverted:
        words = [words[0][1:], *words[1:]]
    if key in ("MACAddress", "PermanentMACAddress"):
        fits = any(w.lower().replace("-", ":") == member.hwaddr for w in words)
    else:
        text = member.name if key == "Name" else "ether"
        fits = any(fnmatchcase(text, word) for word in words)
    return fits != inverted


def _leases(network: Network) -> bool:
    return (last(network.entries, "Network", "DHCP") or "no").lower() in DHCP


def _is_unmanaged(network: Network) -> bool:
    return is_true(last(network.entries, "Link", "Unmanaged"), default=False)


def _keeps(network: Network) -> bool:
    """IgnoreCarrierLoss= follows ConfigureWithoutCarrier= unless it is given."""
    without = last(network.entries, "Network", "ConfigureWithoutCarrier")
    ignores = last(network.entries, "Network", "IgnoreCarrierLoss") or without
    keeps = last(network.entries, "Network", "KeepConfiguration")
    return is_true(keeps, default=False) and is_true(ignores, default=False)


def _is_for_members(network: Network, members: Sequence[Member]) -> bool:
    """Whether the file is about members and nobody else, so that a drop-in to it may be written."""
    names = listed(network.entries, "Match", "Name")
    hwaddrs = [
        w.lower().replace("-", ":")
        for key in ("MACAddress", "PermanentMACAddress")
        for w in listed(network.entries, "Match", key)
    ]
    if hwaddrs:
        return set(hwaddrs) <= {member.hwaddr for member in members}
    return bool(names) and set(names) <= {member.name for member in members}


def _addresses(network: Network) -> list[str]:
    """Static addresses, in [Network] or in an [Address] section of their own."""
    return [
        e.value
        for e in network.entries
        if e.key == "Address" and e.section in ("Network", "Address") and e.value
    ]


def _own_file(networks: Sequence[Network], claims: Mapping[str, list[str]]) -> DropIn:
    """A file for members alone, which comes before those that apply to them now."""
    name = next((n for n in OWN_FILES if all(n < net.name for net in networks)), OWN_FILES[-1])
    names = " ".join(member for network in networks for member in claims[network.name])
    return DropIn(f"{DIRECTORIES[0]}/{name}", f"[Match]\nName={names}\n\n[Network]\n{KEEP}")
