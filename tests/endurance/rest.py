"""What the host's kernel has when all is quiet, and whether that is as it should be."""

from __future__ import annotations

import re
from collections.abc import Collection

from msgspec import Struct

from ipmp.lab import Lab
from ipmp.lab.topology import HOST
from tests.support.views import routes


class Rest(Struct, frozen=True):
    """Data addresses by member, routes, and whom the peer believes to have each address."""

    addresses: dict[str, frozenset[str]]
    routes: tuple[str, ...]
    believed: dict[str, str]  # address -> MAC
    macs: dict[str, str]

    def places(self) -> list[tuple[str, str]]:
        """Every address with the member that has it."""
        return sorted((key, m) for m, keys in self.addresses.items() for key in keys)

    def is_home(self, home: Rest) -> bool:
        """Everything is where it was at the beginning."""
        _same("addresses", self.addresses, home.addresses)
        _same("routes", self.routes, home.routes)
        return self._is_believed()

    def is_whole(self, home: Rest) -> bool:
        """Nothing is lost, and nothing is doubled."""
        _same("addresses", [k for k, _ in self.places()], [k for k, _ in home.places()])
        _same("routes", _anywhere(self.routes), _anywhere(home.routes))
        return True

    def is_well(self, home: Rest, usable: Collection[str]) -> bool:
        """Nothing is lost, nothing is doubled, and all of it is where it works."""
        assert self.is_whole(home)
        assert {member for _, member in self.places()} <= set(usable), f"{usable} work"
        through = {member for route in self.routes for member in re.findall(r" dev (\S+)", route)}
        assert through <= set(usable), f"{usable} work"
        return self._is_believed()

    def _is_believed(self) -> bool:
        for key, member in self.places():
            address = key.partition("/")[0]
            assert self.believed.get(address, self.macs[member]) == self.macs[member], key
        return True


def look(lab: Lab) -> Rest:
    """Read it."""
    links = lab.ip_json(HOST, "addr", "show")
    members = {link["ifname"]: link for link in links if link["ifname"].startswith("ni")}
    neighbours = lab.ip_json("peer", "neigh", "show")
    return Rest(
        {
            name: frozenset(
                f"{a['local']}/{a['prefixlen']}"
                for a in link["addr_info"]
                if a["scope"] == "global"
            )
            for name, link in members.items()
        },
        tuple(routes(lab)),
        {n["dst"]: n["lladdr"] for n in neighbours if "lladdr" in n},
        {name: link["address"] for name, link in members.items()},
    )


def _same(what: str, found: object, wanted: object) -> None:
    assert found == wanted, f"{what} are {found}, and should be {wanted}"


def _anywhere(found: Collection[str]) -> list[str]:
    """The routes without the member and the owner, which change when they move."""
    return sorted(re.sub(r" (dev|proto) \S+", "", route) for route in found)
