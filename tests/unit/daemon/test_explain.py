"""Why is it as it is: the present first, then what led to it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ipmp.daemon.explain import RECENT, explain
from ipmp.daemon.journal import Journal
from ipmp.decision import Decision, Kind, Reason
from ipmp.history import History
from ipmp.model import Family, HoldIntent, Status
from tests.support import exporter_statuses as statuses


@pytest.fixture
def journal() -> Journal:
    return Journal(History(), lambda: 1000.0)


def test_what_nobody_knows_has_no_explanation(journal: Journal) -> None:
    journal.emit([Decision(Kind.REFUSED, Reason.UNKNOWN_INTERFACE, interface="eth7")])
    assert explain(statuses.healthy(), journal, "eth7") is None


def test_a_group_tells_of_itself_and_of_each_member(journal: Journal) -> None:
    status = statuses.failed()
    group = status.groups[0]
    first, *members = explain(status, journal, group.name) or []
    assert first == (
        f"Group {group.name} is {group.state}: {group.usable} of {len(group.interfaces)} "
        f"interfaces are usable, at least {group.min_usable} must stay so."
    )
    assert [sentence.split(" is ")[0] for sentence in members] == list(group.interfaces)


def test_a_group_that_spreads_tells_through_which_interfaces(journal: Journal) -> None:
    status = statuses.healthy()
    group = replace(status.groups[0], outbound="spread")
    first, second, *others = (i for i in status.interfaces if i.group == group.name)
    interfaces = (
        replace(first, outbound=tuple(Family)),
        replace(second, outbound=(Family.IPV4,)),
        *others,
    )
    status = replace(status, groups=(group,), interfaces=interfaces)
    assert (explain(status, journal, group.name) or [])[-1] == (
        f"It spreads what it sends: IPv4 through {first.name} and {second.name}, "
        f"IPv6 through {first.name}."
    )


def test_an_interface_tells_its_state_and_what_it_carries(journal: Journal) -> None:
    status = statuses.healthy()
    for interface in status.interfaces:
        carried = [a.address for a in status.addresses if a.interface == interface.name]
        state, carries = explain(status, journal, interface.name) or []
        assert state.startswith(
            f"{interface.name} of group {interface.group} is {interface.state}: "
        )
        assert carries == f"It carries {', '.join(carried) or 'no data address'}."


def test_a_held_interface_tells_who_holds_it_and_why(journal: Journal) -> None:
    status = statuses.healthy()
    first = replace(status.interfaces[0], hold=HoldIntent("watch it", "root (uid 0)", 1.0))
    status = replace(status, interfaces=(first, *status.interfaces[1:]))
    sentences = explain(status, journal, first.name) or []
    assert "It is held by root (uid 0): watch it." in sentences


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"interface": "ni1", "home": "ni0", "adopted": True},
            "is on ni1; its home is ni0; it was found there.",
        ),
        (
            {"interface": None, "home": None, "adopted": False},
            "is on no interface; it has no home; it is declared in ipmp.toml.",
        ),
    ],
)
def test_an_address_tells_where_it_is_where_it_belongs_and_whence_it_came(
    journal: Journal, change: dict[str, object], sentence: str
) -> None:
    status = statuses.healthy()
    address = replace(status.addresses[0], **change, reason="It moved for a reason")
    status = replace(status, addresses=(address, *status.addresses[1:]))
    plain = address.address.partition("/")[0]
    for name in (address.address, plain):
        assert explain(status, journal, name) == [
            f"{address.address} of group {address.group} {sentence}",
            "It moved for a reason.",
        ]


def test_then_comes_what_led_to_it_the_newest_last(journal: Journal) -> None:
    status: Status = statuses.healthy()
    name = status.interfaces[0].name
    journal.emit(
        Decision(Kind.HOLD, Reason.OPERATOR, interface=name, detail={"why": f"({n})"})
        for n in range(RECENT + 3)
    )
    journal.emit([Decision(Kind.HOLD, Reason.OPERATOR, interface="another")])
    sentences = explain(status, journal, name) or []
    assert sentences[-RECENT:] == [
        f"{name} was put on hold by the daemon ({n})" for n in range(3, RECENT + 3)
    ]
    assert len(sentences) == len(explain(status, Journal(History(), float), name) or []) + RECENT
