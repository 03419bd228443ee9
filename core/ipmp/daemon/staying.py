"""What stays on an interface when its addresses leave: looked up aside, while they leave."""

from __future__ import annotations

import asyncio

import structlog

from ipmp.decision import Decision
from ipmp.kernel.attached import look, staying
from ipmp.world import Link

#: It takes milliseconds; an answer is not held back for it longer than this.
SECONDS = 1.0

log: structlog.stdlib.BoundLogger = structlog.get_logger("mpathd")


async def what_stays(group: str, link: Link | None) -> tuple[Decision, ...]:
    """Sockets, multicast groups and interfaces that do not follow the addresses of a member.

    A kernel that does not tell in time, or at all, must not keep anybody from draining.
    """
    if link is None:
        return ()
    try:
        async with asyncio.timeout(SECONDS):
            attached = await asyncio.to_thread(look, link)
    except (OSError, TimeoutError) as error:
        log.warning(f"what is bound to {link.name} cannot be listed: {error}")
        return ()
    return tuple(staying(attached, group))
