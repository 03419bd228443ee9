"""The service manager is told what we do and that we get on: the protocol of sd_notify(3).

Only datagrams to the socket that $NOTIFY_SOCKET names; without it nobody is told anything.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from typing import Protocol

import structlog

STATUS_SECONDS = 1.0  # the status that people read is no older than this

log: structlog.stdlib.BoundLogger = structlog.get_logger("mpathd")


class Service(Protocol):
    """What is reported on."""

    def summary(self) -> str:
        """One line about the groups."""

    def stuck(self, seconds: float) -> list[str]:
        """What has not got on for so long, in words."""


def notify(*assignments: str) -> None:
    """Send assignments such as READY=1, in one datagram."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        try:
            out.setblocking(False)  # a manager that does not read must not stop us
            out.connect(address)
            out.send("\n".join(assignments).encode())
        except OSError:
            return  # the manager is gone or busy; there is nobody to tell


def reloading() -> None:
    """A reload begins; it ends with READY=1. The time tells the manager which reload it was."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """The time after which the manager restarts us unless it has heard WATCHDOG=1, if it does."""
    try:
        usec = int(environment["WATCHDOG_USEC"])
        meant = int(environment.get("WATCHDOG_PID", os.getpid()))
    except (KeyError, ValueError):
        return None
    return usec / 1e6 if usec > 0 and meant == os.getpid() else None


async def report(service: Service) -> None:
    """Tell the manager how the groups are, and that they get on; until cancelled.

    WATCHDOG=1 goes out at half of $WATCHDOG_USEC, but not while something has been stuck for that
    long: then only a restart helps, and the kernel keeps all that was done until then.
    """
    limit = watchdog_seconds()
    period = limit / 2 if limit is not None else None
    due, told, silent = time.monotonic(), "", False
    while True:
        if (summary := service.summary()) != told:
            told = summary
            notify(f"STATUS={summary}")
        if period is not None and time.monotonic() >= due:
            due = time.monotonic() + period
            stuck = service.stuck(period)
            if stuck and not silent:
                log.error(f"{'; '.join(stuck)}: the watchdog is not told that all is well")
            silent = bool(stuck)
            if not stuck:
                notify("WATCHDOG=1")
        pause = STATUS_SECONDS if period is None else min(STATUS_SECONDS, due - time.monotonic())
        await asyncio.sleep(max(pause, 0.0))
