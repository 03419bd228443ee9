"""`ipmpstat` to the letter: columns, widths, flags, escapes, errors, exit status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from ipmp.cli import columns
from ipmp.cli.ipmpstat import USAGE, UsageError, parse
from ipmp.cli.table import FieldError, human, parsable, select
from ipmp.model import (
    AddressStatus,
    DaemonStatus,
    Family,
    GroupState,
    GroupStatus,
    InterfaceState,
    InterfaceStatus,
    LinkState,
    Status,
)

UP, DOWN = LinkState.UP, LinkState.DOWN
OK, OFFLINE = InterfaceState.OK, InterfaceState.OFFLINE
LONG = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff/64"


def interface(name: str, group: str, state: InterfaceState = OK, **more: object) -> InterfaceStatus:
    more.setdefault("active", state is OK)
    return InterfaceStatus(name=name, group=group, state=state, link=UP, **more)  # type: ignore[arg-type]


STATUS = Status(
    host="h",
    time=0.0,
    daemon=DaemonStatus(version="0", pid=1, started=0.0, config_file="f"),
    groups=(
        GroupStatus("storage-fabric-a", GroupState.FAILED, ("net10",), 0, 1, True),
        GroupStatus(
            "ipmp0", GroupState.DEGRADED, ("net0", "net1", "net2", "net5"), 3, 1, True, 10.0
        ),
    ),
    interfaces=(
        interface("net10", "storage-fabric-a", InterfaceState.FAILED),
        interface("net2", "ipmp0", active=False, standby=True, inactive=True),
        interface("net1", "ipmp0", outbound=tuple(Family)),
        interface(
            "net0", "ipmp0", nominated_ipv4=True, nominated_ipv6=True, outbound=tuple(Family)
        ),
        interface("net5", "ipmp0", OFFLINE, down=True),
    ),
    addresses=(
        AddressStatus(LONG, "ipmp0", Family.IPV6, "net1"),
        AddressStatus("192.0.2.20/24", "ipmp0", Family.IPV4, "net0"),
        AddressStatus("198.51.100.9/24", "storage-fabric-a", Family.IPV4),
    ),
)


def shown(template: tuple, rows: list, fields: str | None = None) -> list[str]:  # type: ignore[type-arg]
    return [line.rstrip() for line in human(select(fields, template).columns, rows, 24)]


def test_interfaces() -> None:
    assert shown(columns.INTERFACE, columns.interfaces(STATUS)) == [
        "INTERFACE   ACTIVE  GROUP       FLAGS     LINK      PROBE     STATE",
        "net0        yes     ipmp0       --mbM--   up        disabled  ok",
        "net1        yes     ipmp0       -------   up        disabled  ok",
        "net2        no      ipmp0       is-----   up        disabled  ok",
        "net5        no      ipmp0       -----d-   up        disabled  offline",
        "net10       no      storage-fabric-a ------- up     disabled  failed",
    ]


def test_groups() -> None:
    assert shown(columns.GROUP, columns.groups(STATUS)) == [
        "GROUP       GROUPNAME   STATE     FDT       INTERFACES",
        "ipmp0       ipmp0       degraded  10.00s    net0 net1 (net2) [net5]",
        "storage-fabric-a storage-fabric-a failed -- [net10]",
    ]


def test_addresses() -> None:
    assert shown(columns.ADDRESS, columns.addresses(STATUS, numeric=True)) == [
        "ADDRESS                   STATE  GROUP       INBOUND     OUTBOUND",
        "192.0.2.20                up     ipmp0       net0        net0 net1",
        "198.51.100.9              down   storage-fabric-a --     --",
        "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff up ipmp0 net1     net0 net1",
    ]


def test_outbound_are_the_members_through_which_that_family_leaves() -> None:
    interfaces = (
        interface("net0", "ipmp0", outbound=tuple(Family)),
        interface("net1", "ipmp0", outbound=(Family.IPV4,)),
        interface("net2", "ipmp0", OFFLINE, outbound=(Family.IPV4,)),
    )
    rows = columns.addresses(replace(STATUS, interfaces=interfaces), numeric=True)
    assert shown(columns.ADDRESS, rows, "address,outbound") == [
        "ADDRESS                   OUTBOUND",
        "192.0.2.20                net0 net1",
        "198.51.100.9              --",
        "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff net0",
    ]


def test_the_header_comes_again_with_every_screenful() -> None:
    rows = columns.interfaces(STATUS)
    lines = list(human(select("interface", columns.INTERFACE).columns, rows, 3))
    assert lines == ["INTERFACE", "net0", "net1", "INTERFACE", "net2", "net5", "INTERFACE", "net10"]


def test_no_rows_no_header() -> None:
    assert shown(columns.INTERFACE, []) == []


def test_probe_columns_that_fit_in_80() -> None:
    names = [c.name for c in select(None, columns.PROBE).columns]
    assert names[-1] == "TARGET"
    assert len(select("all", columns.PROBE).columns) == 8


def test_parsable_output_escapes_unless_there_is_one_field() -> None:
    rows = columns.addresses(STATUS, numeric=True)
    two = select("ADDRESS,inbound", columns.ADDRESS, parsable=True).columns
    assert list(parsable(two, rows)) == [
        "192.0.2.20:net0",
        "198.51.100.9:",
        r"2001\:db8\:aaaa\:bbbb\:cccc\:dddd\:eeee\:ffff:net1",
    ]
    one = select("address", columns.ADDRESS, parsable=True).columns
    assert list(parsable(one, rows))[2] == LONG.partition("/")[0]


@pytest.mark.parametrize(
    ("fields", "strict", "complaint"),
    [
        (None, True, "output fields must be specified in parsable mode"),
        ("", True, "output fields must be specified in parsable mode"),
        ("all", True, "output field `all' invalid in parsable mode"),
        ("x,state", True, "unknown output field: `x'"),
        ("x,y", False, "no valid output fields"),
    ],
)
def test_field_lists_that_are_refused(fields: str | None, strict: bool, complaint: str) -> None:
    with pytest.raises(FieldError) as refused:
        select(fields, columns.INTERFACE, parsable=strict)
    assert str(refused.value) == complaint


def test_unknown_fields_are_a_warning_for_people() -> None:
    assert select("x,state,y", columns.INTERFACE).warning == (
        "ignoring unknown output fields: `x' `y'"
    )


@pytest.mark.parametrize("arguments", [["-a", "-g"], ["-i", "-i"]])
def test_one_mode_only(arguments: list[str]) -> None:
    with pytest.raises(UsageError, match="only one output format may be specified"):
        parse(arguments)


@pytest.mark.parametrize("arguments", [[], ["-n"], ["-z"], ["-i", "ni0"], ["-o"]])
def test_usage(arguments: list[str]) -> None:
    done = tool("ipmpstat", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", USAGE + "\n")


def test_a_bad_field_is_told_before_a_missing_daemon(tmp_path: Path) -> None:
    done = tool("ipmpstat", "-i", "-o", "x", f"--run-dir={tmp_path}")
    assert (done.returncode, done.stderr) == (1, "ipmpstat: no valid output fields\n")


def test_daemon_down(tmp_path: Path) -> None:
    done = tool("ipmpstat", "-i", f"--run-dir={tmp_path}")
    assert done.returncode == 1
    assert done.stderr == "ipmpstat: cannot contact in.mpathd(1M) -- is IPMP in use?\n"


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.prefix, "bin", name)), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
