"""The lab's network as data, and the `ip -batch` text that builds it. Pure: nothing here acts.

    far ── router ── sw1 ─────────── sw2 ── peer
                      │               │ │
                     ni0             ni1 (ni2)
                      └──── host ─────┴─┘

Two switches, joined, without any switch configuration: one IP link, as two NICs of a server on two
switches see it. `far` is a network behind the router. Every address and MAC is fixed, so that what
a capture shows can be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

HOST, SW1, SW2, ROUTER, PEER, FAR = "host", "sw1", "sw2", "router", "peer", "far"
NODES = (HOST, SW1, SW2, ROUTER, PEER, FAR)
SWITCHES = (SW1, SW2)
MAX_NICS = 3

# The address that the story is about starts on ni0; the rest stays where it is.
HOST_ADDRESSES = ("192.168.1.5/24", "fd00:1::5/64")
ROUTER_IPV4, ROUTER_IPV6 = "192.168.1.1", "fd00:1::1"
PEER_IPV4, PEER_IPV6 = "192.168.1.100", "fd00:1::100"
FAR_IPV4, FAR_IPV6 = "10.9.0.2", "fd00:9::2"

_HOMES = {
    ROUTER: (ROUTER_IPV4, ROUTER_IPV6, "10.9.0.1", "fd00:9::1"),
    PEER: (PEER_IPV4, PEER_IPV6),
    FAR: (FAR_IPV4, FAR_IPV6),
}


@dataclass(frozen=True)
class Cable:
    """A pair of connected interfaces; `port` is the end in `switch`, `nic` the end in `node`.

    The ends never have the same index: the kernel takes a veth whose peer (in another namespace)
    has its own index for a plain NIC, and reports its carrier up to a second late
    (linux:net/core/link_watch.c, linkwatch_urgent_event).
    """

    switch: str
    port: str
    node: str
    nic: str
    mac: str
    port_mac: str
    index: int

    def lines(self) -> Iterator[str]:
        """Yield the `ip -batch` lines, run in `switch`, that lay this cable and plug it in."""
        yield (
            f"link add {self.port} index {self.index} address {self.port_mac} type veth"
            f" peer name {self.nic} address {self.mac} netns {self.node}"
        )
        yield f"link set {self.port} master br0 up"


def nic_names(nics: int) -> tuple[str, ...]:
    """Return the names of the host's interfaces: ni0, ni1 and, if there are three, ni2."""
    return tuple(f"ni{number}" for number in range(nics))


def nic_cable(nic: str) -> Cable:
    """Return the cable of one of the host's NICs: ni0 goes to sw1, the others to sw2."""
    number = int(nic.removeprefix("ni"))
    switch = SW1 if number == 0 else SW2
    return _cable(switch, HOST, nic, 0x10 + number)


def cables(nics: int) -> tuple[Cable, ...]:
    """Return every cable that ends in a switch."""
    return (
        Cable(SW1, "to-sw2", SW2, "to-sw1", _port_mac(0xF2), _port_mac(0xF1), 100 + 0xF1),
        *(nic_cable(nic) for nic in nic_names(nics)),
        _cable(SW1, ROUTER, "eth0", 0x01),
        _cable(SW2, PEER, "eth0", 0x64),
    )


def node_of(address: str) -> str:
    """Return the node that `address` is fixed to; an address of nobody else is the host's."""
    return next((node for node, fixed in _HOMES.items() if address in fixed), HOST)


def sysctls(node: str) -> dict[str, str]:
    """Return the sysctls (as paths below /proc/sys/net) that every interface of `node` starts with.

    A new namespace inherits the machine's IPv4 settings (net.core.devconf_inherit_init_net), and a
    distribution changes some; the lab starts from the kernel's own defaults, everywhere alike.
    Duplicate address detection is off, so that the network is ready at once.
    """
    router = str(int(node == ROUTER))
    ipv4 = {
        "forwarding": router,
        "rp_filter": "0",
        "arp_ignore": "0",
        "arp_announce": "0",
        "arp_notify": "0",
        "promote_secondaries": "0",
        "ignore_routes_with_linkdown": "0",
    }
    ipv6 = {
        "forwarding": router,
        "accept_dad": "0",
        "accept_ra": "0",
        "router_solicitations": "0",
        "disable_ipv6": str(int(node in SWITCHES)),
    }
    return {
        f"{family}/conf/{scope}/{name}": value
        for family, settings in (("ipv4", ipv4), ("ipv6", ipv6))
        for scope in ("all", "default")
        for name, value in settings.items()
    }


def namespace_batch() -> str:
    """Return the batch that makes the nodes, run in the lab's own (empty) network namespace."""
    return "".join(f"netns add {node}\n" for node in NODES)


def link_batches(nics: int) -> Iterator[tuple[str, str]]:
    """Yield (node, batch) for every bridge and cable, in order: a cable needs its bridge."""
    for switch in SWITCHES:
        # The field's switches learn and flood; they do not speak spanning tree or snoop MLD here.
        yield switch, "link add br0 type bridge stp_state 0 mcast_snooping 0\nlink set br0 up\n"
    for switch in SWITCHES:
        lines = (line for c in cables(nics) if c.switch == switch for line in c.lines())
        yield switch, "\n".join(lines) + "\n"
    yield SW2, "link set to-sw1 master br0 up\n"
    yield (
        ROUTER,
        f"link add eth1 index 102 address {_mac(0x02)} type veth"
        f" peer name eth0 address {_mac(0x03)} netns {FAR}\n",
    )


def address_batches(nics: int) -> Iterator[tuple[str, str]]:
    """Yield (node, batch) that sets every interface up and gives it addresses and routes."""
    up = "".join(f"link set {nic} up\n" for nic in nic_names(nics))
    yield HOST, up + _addresses("ni0", *HOST_ADDRESSES) + _default_routes("ni0")
    yield (
        ROUTER,
        (
            "link set eth0 up\nlink set eth1 up\n"
            + _addresses("eth0", f"{ROUTER_IPV4}/24", f"{ROUTER_IPV6}/64")
            + _addresses("eth1", "10.9.0.1/24", "fd00:9::1/64")
        ),
    )
    yield (
        PEER,
        (
            "link set eth0 up\n"
            + _addresses("eth0", f"{PEER_IPV4}/24", f"{PEER_IPV6}/64")
            + _default_routes("eth0")
        ),
    )
    yield (
        FAR,
        (
            "link set eth0 up\n"
            + _addresses("eth0", f"{FAR_IPV4}/24", f"{FAR_IPV6}/64")
            + "route add default via 10.9.0.1\nroute add default via fd00:9::1\n"
        ),
    )


def _addresses(nic: str, ipv4: str, ipv6: str) -> str:
    return f"addr add {ipv4} brd + dev {nic}\naddr add {ipv6} dev {nic} nodad\n"


def _default_routes(nic: str) -> str:
    return (
        f"route add default via {ROUTER_IPV4} dev {nic}\n"
        f"route add default via {ROUTER_IPV6} dev {nic}\n"
    )


def _cable(switch: str, node: str, nic: str, number: int) -> Cable:
    port = f"to-{nic}" if node == HOST else f"to-{node}"
    return Cable(switch, port, node, nic, _mac(number), _port_mac(number), 100 + number)


def _mac(number: int) -> str:
    return f"02:00:00:00:00:{number:02x}"


def _port_mac(number: int) -> str:
    return f"02:00:00:00:01:{number:02x}"
