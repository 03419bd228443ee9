"""Schedule, pace and cancellation of announcements, by a clock of numbers."""

from __future__ import annotations

from ipmp.announce import Announcement, Announcer

IPV4, IPV6 = "192.0.2.5/24", "2001:db8::5/64"


def spoken(announcer: Announcer, until: float, tick: float = 0.01) -> list[tuple[float, str, str]]:
    """Everything taken up to a time, with its time."""
    said = []
    for number in range(int(until / tick) + 1):
        now = number * tick
        said += [(round(now, 2), a.key, a.member) for a in announcer.take(now)]
    return said


def test_the_schedules_are_those_of_the_reference() -> None:
    announcer = Announcer()
    announcer.planned(IPV4, "ni1", 10)
    announcer.planned(IPV6, "ni1", 10)
    said = spoken(announcer, 8)
    assert [t for t, key, _ in said if key == IPV4] == [0.0, 1.1, 3.1, 5.1]
    assert [t for t, key, _ in said if key == IPV6] == [0.0, 1.0, 2.0]


def test_planned_ones_are_paced_and_every_first_precedes_every_second() -> None:
    announcer = Announcer()
    keys = [f"192.0.2.{n}/24" for n in range(100)]
    for key in keys:
        announcer.planned(key, "ni1", 10)
    said = spoken(announcer, 45, 0.05)
    assert sorted({key for _, key, _ in said[:100]}) == sorted(keys)
    times = [t for t, _, _ in said]
    for start in times:
        assert sum(start <= t < start + 0.99 for t in times) <= 10


def test_urgent_ones_are_not_paced_but_their_repeats_are() -> None:
    announcer = Announcer()
    for n in range(100):
        announcer.urgent([f"192.0.2.{n}/24"], "ni1", 10, 0.0)
        assert (f"192.0.2.{n}/24", "ni1") in announcer
    said = spoken(announcer, 5, 0.05)
    assert said[0][0] >= 1.1
    assert len([t for t, _, _ in said if t < 2.0]) <= 10


def test_what_was_lost_is_not_announced_any_more() -> None:
    announcer = Announcer()
    announcer.planned(IPV4, "ni1", 10)
    assert list(announcer.take(0.0)) == [Announcement(IPV4, "ni1")]
    announcer.withdraw([(IPV4, "ni1")])
    assert (IPV4, "ni1") not in announcer
    assert spoken(announcer, 8) == []


def test_a_new_member_takes_over_the_schedule() -> None:
    announcer = Announcer()
    announcer.urgent([IPV4], "ni1", 10, 0.0)
    announcer.urgent([IPV4], "ni0", 10, 0.5)
    assert {member for _, _, member in spoken(announcer, 8)} == {"ni0"}
    assert (IPV4, "ni1") not in announcer


def test_a_deadline_says_when_to_come_back() -> None:
    announcer = Announcer()
    assert announcer.deadline(0.0) is None
    announcer.planned(IPV4, "ni1", 10)
    assert announcer.deadline(0.0) == 0.0
    list(announcer.take(0.0))
    assert announcer.deadline(0.0) == 1.1


def test_a_refresh_repeats_everything_once_in_its_turn() -> None:
    announcer = Announcer()
    keys = [f"192.0.2.{n}/24" for n in range(25)]
    for key in keys:
        announcer.assume(key, "ni1")
    announcer.refresh(30.0, 10, 0.0)
    assert announcer.deadline(0.0) == 30.0
    announcer.refresh(30.0, 10, 29.9)
    assert list(announcer.take(29.9)) == []
    announcer.refresh(30.0, 10, 30.0)
    told = [(now, a.key) for now in (30.0, 31.0, 32.0, 33.0, 59.0) for a in announcer.take(now)]
    assert sorted(key for _, key in told) == sorted(keys)
    assert [sum(at == now for at, _ in told) for now in (30.0, 31.0, 32.0)] == [10, 10, 5]
    assert announcer.deadline(59.0) == 60.0


def test_a_refresh_that_is_switched_off_or_made_shorter_is_so_at_once() -> None:
    announcer = Announcer()
    announcer.refresh(3600.0, 10, 0.0)
    announcer.refresh(60.0, 10, 100.0)
    assert announcer.deadline(100.0) == 160.0
    announcer.refresh(None, 10, 101.0)
    assert announcer.deadline(101.0) is None
