"""Every decision is a value: what was decided, why, and about what.

Log, history, API, `ipmp explain` and metric labels are all rendered from the same `Decision`, so
they cannot disagree. `kind` says what happened, `reason` is a word of a closed list (a metric
label), `detail` carries the facts that the sentence needs.
"""

from __future__ import annotations

import msgspec

from ipmp.reasons import IN_BULK, Kind, Reason

__all__ = ["IN_BULK", "Decision", "Kind", "Reason", "Refusal"]


class Decision(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One decision; `sentence()` is what people read."""

    kind: Kind
    reason: Reason
    group: str = ""
    interface: str = ""
    address: str = ""
    actor: str = ""
    detail: dict[str, str | int | float] = {}

    def sentence(self) -> str:
        """Render the decision as one clear sentence."""
        template = _SENTENCES.get((self.kind, self.reason)) or _SENTENCES[(self.kind, None)]
        facts = dict.fromkeys(_FACTS, "") | self.detail
        addresses = "1 address" if facts["count"] == 1 else f"{facts['count']} addresses"
        text = template.format(
            group=self.group,
            interface=self.interface,
            address=self.address,
            actor=self.actor or "the daemon",
            reason=self.reason,
            addresses=addresses,
            **facts,
        )
        return text.rstrip()

    @property
    def interfaces(self) -> tuple[str, ...]:
        """Every interface it is about: its own, and those that something moved from and to."""
        ends = () if self.kind is Kind.TARGET else ("source", "target")  # its target is a host
        ways = [str(self.detail.get(end, "")) for end in ends]
        named = [self.interface, *(name for way in ways for name in way.split(" and "))]
        return tuple(dict.fromkeys(filter(None, named)))

    def concerns(
        self, group: str = "", interface: str = "", address: str = "", kind: str = ""
    ) -> bool:
        """Whether it is about all that is given; an address with or without prefix length."""
        return (
            group in ("", self.group)
            and (not interface or interface in self.interfaces)
            and address.partition("/")[0] in ("", self.address.partition("/")[0])
            and kind in ("", self.kind)
        )


# Facts that templates may use; absent ones render as nothing.
_FACTS = ("state", "previous", "source", "target", "why", "value", "name", "count", "seconds")

_SENTENCES: dict[tuple[Kind, Reason | None], str] = {
    (Kind.INTERFACE_STATE, Reason.LINK_DOWN): "The link has gone down on {interface}",
    (Kind.INTERFACE_STATE, Reason.LINK_UP): "The link has come up on {interface}",
    (Kind.INTERFACE_STATE, Reason.ADMIN_DOWN): (
        "{interface} is administratively down; set it up with `ip link set {interface} up`"
    ),
    (Kind.INTERFACE_STATE, Reason.ABSENT): "{interface} does not exist on this host",
    (Kind.INTERFACE_STATE, Reason.PRESENT): "{interface} has appeared",
    (Kind.INTERFACE_STATE, Reason.PROBES_LOST): (
        "IP interface failure detected on {interface} of group {group}: five probes in a row were "
        "lost, and other members still hear the targets"
    ),
    (Kind.INTERFACE_STATE, Reason.TARGETS_DEAD): (
        "{interface} of group {group} hears no probe target any more, nor does any other member: "
        "the targets are dead, nothing is moved"
    ),
    (Kind.INTERFACE_STATE, Reason.NO_TARGETS): (
        "{interface} of group {group} has nobody to probe; its link alone is watched"
    ),
    (Kind.INTERFACE_STATE, Reason.PROVING): (
        "The link is up on {interface}; it is used again after ten answered probes in a row"
    ),
    (Kind.INTERFACE_STATE, Reason.UP_DELAY): (
        "The link has come up on {interface}; it is used again when it has stayed up for a while"
    ),
    (Kind.INTERFACE_STATE, Reason.FLAPPING): (
        "The link has come up on {interface} more than 2 times in the last minute; "
        "disabling repair until it stabilizes"
    ),
    (Kind.INTERFACE_STATE, Reason.REPAIRED): (
        "IP interface repair detected on {interface} of group {group}"
    ),
    (Kind.INTERFACE_STATE, Reason.DUPLICATE_HWADDR): (
        "IP interface {interface} has a hardware address which is not unique in group {group}; "
        "offlining"
    ),
    (Kind.INTERFACE_STATE, Reason.UNIQUE_HWADDR): (
        "IP interface {interface} now has a unique hardware address in group {group}; onlining"
    ),
    (Kind.INTERFACE_STATE, None): (
        "IP interface {interface} of group {group} is now {state} ({reason})"
    ),
    (Kind.GROUP_STATE, Reason.NO_USABLE_MEMBER): (
        "All IP interfaces in group {group} are now unusable"
    ),
    (Kind.GROUP_STATE, Reason.USABLE_MEMBER): (
        "At least 1 IP interface ({interface}) in group {group} is now usable"
    ),
    (Kind.GROUP_STATE, None): "Group {group} is now {state}",
    (Kind.ADDRESS_MOVED, None): "{address} moved from {source} to {target} ({reason})",
    (Kind.ADDRESS_ADOPTED, Reason.DECLARED): (
        "{address}, declared for group {group}, was found on {interface}"
    ),
    (Kind.ADDRESS_RESTORED, None): (
        "{address} was removed from {interface} by another program; it has been put back"
    ),
    (Kind.ADDRESS_REMOVED, None): (
        "{address} was put on {interface} by another program, but is on {target}; it is removed "
        "from {interface}"
    ),
    (Kind.ADDRESS_ADOPTED, None): (
        "{address} was found on {interface} and is now a data address of group {group}"
    ),
    (Kind.ADDRESS_RETIRED, Reason.OPERATOR): (
        "{address} of group {group} was forgotten by {actor}{value} {why}"
    ),
    (Kind.ADDRESS_RETIRED, None): "{address} is no longer a data address of group {group}",
    (Kind.ROUTE_MOVED, None): "{value} now leaves through {target} instead of {source}",
    (Kind.ROUTE_RESTORED, None): "{value} had disappeared from {interface}; it has been put back",
    (Kind.ROUTE_RESTORED, Reason.REROUTED): (
        "{value} had been led through {source} by another program; it leaves through {target} again"
    ),
    (Kind.FIGHTING, Reason.REMOVED): (
        "another program keeps removing {name} from {interface}: it was put back {count} times in "
        "{seconds} s, further repairs wait up to 60 s; `ipmp check` looks for that program"
    ),
    (Kind.FIGHTING, Reason.DUPLICATED): (
        "another program keeps adding {name} to {interface}, which does not carry it now: the copy "
        "was removed {count} times in {seconds} s, further repairs wait up to 60 s; `ipmp check` "
        "looks for that program"
    ),
    (Kind.FIGHTING, Reason.REROUTED): (
        "another program keeps changing {name}: it was turned back to {interface} {count} times in "
        "{seconds} s, further repairs wait up to 60 s; `ipmp check` looks for that program"
    ),
    (
        Kind.FIGHTING,
        None,
    ): "another program keeps undoing what was put right on {interface}: {name}",
    (Kind.FIGHTING, Reason.CALM): (
        "nobody has touched {name} on {interface} for 60 s; it had been put right {count} times in "
        "{seconds} s"
    ),
    (Kind.ROUTE_FORGOTTEN, None): "{value} was removed by hand and no longer follows group {group}",
    (Kind.FAILOVER, None): (
        "{addresses} failed over from {source} to {target} in {seconds} s ({reason})"
    ),
    (Kind.FAILBACK, None): (
        "{addresses} returned from {source} to {target} in {seconds} s ({reason})"
    ),
    (Kind.OFFLINE, None): "{interface} was taken offline by {actor} {why}",
    (Kind.ONLINE, None): "{interface} was brought online by {actor} {why}",
    (Kind.HOLD, None): "{interface} was put on hold by {actor} {why}",
    (Kind.RELEASE, None): "{interface} was released from its hold by {actor}",
    (Kind.PAUSE, None): "Remediation was paused by {actor} {why}",
    (Kind.RESUME, None): "Remediation was resumed by {actor}",
    (Kind.REFUSED, Reason.MINIMUM_REDUNDANCY): (
        "cannot offline {interface}: no other functioning interfaces are in its IPMP group"
    ),
    (Kind.REFUSED, Reason.ALREADY_OFFLINE): "interface {interface} is already offline",
    (Kind.REFUSED, Reason.NOT_OFFLINE): "interface {interface} is not offline",
    (Kind.REFUSED, Reason.UNKNOWN_INTERFACE): "there is no interface {interface} on this host",
    (Kind.REFUSED, Reason.UNKNOWN_ADDRESS): "unknown IPMP data address {address}",
    (Kind.REFUSED, Reason.DECLARED): (
        "{address} is listed in ipmp.toml: remove it there and run `ipmp reload`"
    ),
    (Kind.REFUSED, Reason.NOT_IN_GROUP): (
        "{interface}: not a physical interface or not in an IPMP group"
    ),
    (Kind.REFUSED, Reason.DUPLICATE_HWADDR): (
        "{interface} has the hardware address of {name}, which is in use"
    ),
    (Kind.REFUSED, Reason.HELD): (
        "{interface} is held by {name} {why}; lift it with `ipmp release {interface}`"
    ),
    (Kind.REFUSED, Reason.DYNAMIC_ADDRESS): (
        "{address} on {interface} is leased or autoconfigured (it has a lifetime) and stays there: "
        "whoever renews it would put it back; configure it statically to let it move"
    ),
    (Kind.REFUSED, Reason.NO_ADDRESS): (
        "IPv4 traffic of {value} is not spread over {interface}: it has no address there in whose "
        "name it could ask routers by ARP; give it one in [groups.{group}.probe.test_addresses]"
    ),
    (Kind.REFUSED, Reason.MOVE_LIMIT): (
        "{address} stays on {interface}: it has moved {count} times in 180 s, and network fabrics "
        "freeze an address that moves once more; it goes home in {seconds} s"
    ),
    (Kind.REFUSED, Reason.KERNEL_REFUSED): "the kernel refused to {value}: {why}",
    (Kind.REFUSED, Reason.NO_EFFECT): (
        "the kernel is told again and again to {value} and does not refuse, but nothing changes; "
        "from now on it is told every {seconds} s"
    ),
    (Kind.REFUSED, Reason.INVALID): "refused for {interface}{address}: {why}",
    (Kind.REFUSED, Reason.BUSY): "mpathd is busy, ask again: {why}",
    (Kind.REFUSED, None): "refused for {interface}{address}: {reason} {why}",
    (Kind.ACTIVATED, None): "{interface} is now active in group {group} ({reason})",
    (Kind.DRAINED, Reason.STILL_RECEIVING): (
        "{interface} is drained, but unicast traffic still arrives there after {seconds} s: "
        "a peer has not learned the new member"
    ),
    (Kind.DRAINED, None): "{interface} is drained and quiet: it is safe to pull",
    (Kind.STAYS, Reason.BOUND_SOCKET): (
        "sockets bound to {interface} (SO_BINDTODEVICE) do not follow its addresses, peers will "
        "see their connections reset: {value}"
    ),
    (Kind.STAYS, Reason.MULTICAST_GROUP): (
        "multicast groups joined on {interface} stay joined there, programs must join them again "
        "on another interface: {value}"
    ),
    (Kind.STAYS, None): "what hangs on {interface} does not follow its addresses: {value}",
    (Kind.STAYS, Reason.UPPER_INTERFACE): (
        "interfaces on top of {interface} go down with its link and do not follow its addresses: "
        "{value}"
    ),
    (Kind.CONFIG, Reason.RELOAD_FAILED): (
        "the configuration was not reloaded, the old one stays in force: {why}"
    ),
    (Kind.CONFIG, Reason.DISSOLVED): (
        "group {group} is dissolved; its addresses stay where they are"
    ),
    (Kind.CONFIG, None): "configuration {reason}: {value} {why}",
    (Kind.SYSCTL, Reason.CORRECTED): "{name} on {interface} was {previous}, is now {value}",
    (Kind.SYSCTL, Reason.RESTORED): "{name} on {interface} was put back to {value}",
    (Kind.SYSCTL, None): "{name} on {interface} is {previous} and must be {value}: {why}",
    (Kind.DETECTION_TIME, Reason.SLOW_TARGETS): (
        "Cannot meet requested failure detection time of {previous} ms on ({name} {interface}) "
        'new failure detection time for group "{group}" is {value} ms'
    ),
    (Kind.DETECTION_TIME, None): (
        'Improved failure detection time {value} ms on ({name} {interface}) for group "{group}"'
    ),
    (Kind.TARGET, Reason.TARGET_DEAD): (
        "target {target} did not answer {count} probes in a row through {interface} while others "
        "did; it is left alone for {seconds} s"
    ),
    (Kind.TARGET, None): (
        "target {target} answers much more slowly than all others through {interface}; "
        "it is left alone for {seconds} s"
    ),
    (Kind.MISMATCH, Reason.RENAMED): (
        "{interface} of group {group} is now called {value}; it is a member until the next start, "
        "so give it its name back or change the configuration"
    ),
    (Kind.MISMATCH, Reason.MTU): (
        "the MTU of {interface} is {value}: large packets may be lost when addresses of group "
        "{group} move; give all members one MTU"
    ),
    (Kind.MISMATCH, Reason.LINK_TYPE): (
        "the link type of {interface} (ARPHRD) is {value}: members of group {group} must be on one "
        "IP link"
    ),
    (Kind.MISMATCH, Reason.SPEED): (
        "the speed of {interface} is {value}: how fast group {group} is depends on where its "
        "addresses are"
    ),
    (Kind.MISMATCH, Reason.IPV6_DISABLED): (
        "IPv6 is disabled on {interface}: no IPv6 address of group {group} can move there; allow "
        "it with `sysctl -w net.ipv6.conf.{value}.disable_ipv6=0`"
    ),
    (Kind.MISMATCH, None): "{interface}: {reason} {value}",
    (Kind.DAEMON, Reason.NETLINK_OVERRUN): (
        "the kernel dropped netlink events ({count} so far); state was read anew"
    ),
    (Kind.DAEMON, None): "mpathd {reason} {value}",
}


class Refusal(Exception):
    """An operation that would be wrong; carries the decision that says why. Nothing was changed."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.sentence())
        self.decision = decision
