"""What is true in the lab, as its kernels and its peer see it."""

from __future__ import annotations

import re

from ipmp.lab import Lab
from ipmp.lab.topology import HOST
from tests.support.wait import eventually

PLAIN = '[groups.ipmp0]\ninterfaces = ["ni0", "ni1"]\n'
IPV4, IPV6 = "192.168.1.5", "fd00:1::5"
BOTH = (IPV4, IPV6)


def held(lab: Lab, member: str) -> list[str]:
    """Global addresses of a member, in the kernel's order."""
    (link,) = lab.ip_json(HOST, "addr", "show", "dev", member)
    return [f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["scope"] == "global"]


def routes(lab: Lab) -> list[str]:
    """Every unicast route of the host in every table, without the kernel's own, sorted."""
    found = []
    for family in ("-4", "-6"):
        text = lab.run(HOST, ("ip", family, "-d", "route", "show", "table", "all")).stdout
        found += [line.strip() for line in text.splitlines() if _ours(line)]
    return sorted(re.sub(r"\s+", " ", line) for line in found)


def peer_knows(lab: Lab, address: str, member: str) -> bool:
    """Whether the peer's neighbour table has the member's MAC for the address."""
    return lab.neighbour("peer", address) == lab.mac(member)


def mislead(lab: Lab, mac: str) -> None:
    """Let the peer believe that the data addresses are at this MAC, until it hears better."""
    for address in BOTH:
        wrong = f"neigh replace {address} lladdr {mac} nud reachable dev eth0"
        lab.run("peer", ("ip", *wrong.split()))


def on(lab: Lab, member: str, *addresses: str, seconds: float = 5.0) -> None:
    """Insist that these addresses are on that member, on no other one, and known to the peer."""

    def there() -> bool:
        everywhere = {m: [k.partition("/")[0] for k in held(lab, m)] for m in ("ni0", "ni1")}
        for address in addresses:
            holders = [m for m, keys in everywhere.items() if address in keys]
            assert holders == [member], f"{address} is on {holders}"
            assert lab.neighbour("peer", address) in (lab.mac(member), None)
        return True

    eventually(there, seconds)


def _ours(line: str) -> bool:
    return (
        line.startswith("unicast")
        and "proto kernel" not in line
        and "table local" not in line
        and "fe80::" not in line.split(" via ")[0]
    )
