"""Values for tests of rails and planner: a host with one group of three interfaces."""

from __future__ import annotations

from typing import Any

from ipmp.model import (
    AddressStatus,
    DaemonStatus,
    Family,
    GroupState,
    GroupStatus,
    InterfaceState,
    InterfaceStatus,
    LinkState,
    OfflineIntent,
    Status,
)
from ipmp_remediator.payload import AlertStatus
from ipmp_remediator.policy import Authentication, Config, Limits, Policy, Wish
from ipmp_remediator.rails.situation import Situation
from ipmp_remediator.state import Drain, Episode, Memory, Outcome

NOW = 1_800_000_000.0  # a Friday, 08:00 UTC
MEMBERS = ("ni0", "ni1", "ni2")
FREE = Limits(
    drained_group=None,
    drained_host=None,
    cooldown=0.0,
    rate_interface=None,
    rate_group=None,
    rate_host=None,
    loop_guard=0.0,
    storm=None,
    breaker=None,
)


def config(limits: Limits = FREE, policy: dict[str, Any] | None = None, **fields: Any) -> Config:
    """A policy that lets everything pass, but for what is given."""
    return Config(
        policies=(Policy(name="drain", match=(), **(policy or {})),),
        allow=frozenset(("ipmp0", name) for name in MEMBERS),
        authentication=Authentication.NONE,
        dry_run=fields.pop("dry_run", False),
        limits=limits,
        **fields,
    )


def status(
    offline: dict[str, str] | None = None, failed: tuple[str, ...] = (), **fields: Any
) -> Status:
    """The daemon's snapshot; `offline`: interface -> request_id of its intent ("": a person's)."""
    offline = offline or {}
    interfaces = []
    for name in MEMBERS:
        intent = None
        if name in offline:
            actor = "remediator" if offline[name] else "root (uid 0) via if_mpadm"
            intent = OfflineIntent("", actor, NOW - 60, offline[name])
        state = InterfaceState.FAILED if name in failed else InterfaceState.OK
        interfaces.append(
            InterfaceStatus(
                name=name,
                group="ipmp0",
                state=InterfaceState.OFFLINE if intent else state,
                link=LinkState.UP,
                offline=intent,
                hold=fields.get("holds", {}).get(name),
            )
        )
    usable = len(MEMBERS) - len(offline) - len(failed)
    group = GroupStatus(
        name="ipmp0",
        state=GroupState.OK if usable else GroupState.FAILED,
        interfaces=MEMBERS,
        usable=usable,
        min_usable=fields.get("min_usable", 1),
        failback=True,
    )
    address = AddressStatus(
        "192.0.2.1/24", "ipmp0", Family.IPV4, interface=fields.get("carrier", "ni1"), home="ni0"
    )
    daemon = DaemonStatus("0", 1, 0.0, "ipmp.toml", paused=fields.get("paused"))
    return Status("host", NOW, daemon, (group,), tuple(interfaces), (address,))


def episode(interface: str = "ni0", *, name: str = "A", **fields: Any) -> Episode:
    """An open alert that wants an interface offline, first heard of a minute ago."""
    began = fields.pop("began", NOW - 60)
    values: dict[str, Any] = {
        "fingerprint": f"{name}-{interface}",
        "group": "ipmp0",
        "interface": interface,
        "alertname": name,
        "policy": "drain",
        "wish": Wish.OFFLINE,
        "status": AlertStatus.FIRING,
        "started": int(began * 1_000_000),
        "first": began,
        "heard": NOW,
        "changed": began,
        "outcome": Outcome.PENDING,
    }
    return Episode(**values | fields)


def resolved(interface: str = "ni0", *, at: float = NOW - 1, **fields: Any) -> Episode:
    """An alert that is over."""
    return episode(
        interface, status=AlertStatus.RESOLVED, changed=at, outcome=Outcome.DONE, **fields
    )


def drain(interface: str = "ni0", *, name: str = "A", **fields: Any) -> Drain:
    """An interface that we took offline a minute ago, with the request_id `ours`."""
    values: dict[str, Any] = {
        "interface": interface,
        "group": "ipmp0",
        "fingerprint": f"{name}-{interface}",
        "alertname": name,
        "policy": "drain",
        "request_id": "ours",
        "since": NOW - 60,
    }
    return Drain(**values | fields)


def situation(
    memory: Memory = Memory(),  # noqa: B008  (frozen)
    policy: Config | None = None,
    daemon: Status | None = None,
    now: float = NOW,
) -> Situation:
    """All of it at one moment."""
    policy = policy or config()
    return Situation.of(policy, daemon or status(), memory, now)
