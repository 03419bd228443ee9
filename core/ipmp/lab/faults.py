"""Faults on demand at a switch port of the host: what breaks, and how to tell that it is whole.

| fault | done to the switch port | what the host sees |
|---|---|---|
| cable-pull | set down | its NIC loses the carrier |
| silent | taken out of the bridge | carrier stays, no frame passes in either direction |
| loss N | netfilter drops N of each 100 frames, each direction for itself | carrier stays |
"""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Any

from ipmp.lab.namespaces import LabError
from ipmp.lab.topology import Cable


class Fault(StrEnum):
    """What can be wrong with the path of a NIC."""

    CABLE_PULL = "cable-pull"
    SILENT = "silent"
    LOSS = "loss"


def command(fault: Fault, cable: Cable, percent: int) -> tuple[str, ...]:
    """Return the command that, run in the cable's switch, makes `fault` happen."""
    if fault is Fault.LOSS:
        if not 1 <= percent <= 100:
            raise LabError(f"loss is a whole number of percent from 1 to 100, not {percent}")
        return (*_LOSS, "set", cable.port, str(percent))
    if fault is Fault.SILENT:
        return ("ip", "link", "set", cable.port, "nomaster")
    return ("ip", "link", "set", cable.port, "down")


def repair_command(cable: Cable) -> tuple[str, ...]:
    """Return the command that plugs the cable in again, whatever was done to it."""
    return ("ip", "link", "set", cable.port, "master", "br0", "up")


def clear_loss_command(cable: Cable) -> tuple[str, ...]:
    """Return the command that ends a loss on this cable."""
    return (*_LOSS, "clear", cable.port)


def show_loss_command(cable: Cable) -> tuple[str, ...]:
    """Return the command that prints "yes" if there is a loss on this cable, else "no"."""
    return (*_LOSS, "show", cable.port)


def seen(port: dict[str, Any]) -> list[Fault]:
    """Return the faults that `port` (its `ip -d -j link` entry) shows; loss is not among them."""
    found = []
    if "UP" not in port["flags"]:
        found.append(Fault.CABLE_PULL)
    if "master" not in port:
        found.append(Fault.SILENT)
    return found


def settled(port: dict[str, Any]) -> bool:
    """Tell whether the repaired port forwards, or cannot because its NIC is down in the host."""
    state = port.get("linkinfo", {}).get("info_slave_data", {}).get("state")
    return "LOWER_UP" not in port["flags"] or state == "forwarding"


_LOSS = (sys.executable, "-P", "-m", "ipmp.lab.loss")
