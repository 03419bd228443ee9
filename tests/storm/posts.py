"""The notifications of a storm: valid, replayed, reordered, malformed and hostile ones."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import msgspec

from tests.storm.model import News
from tests.support.remediator import TOKEN, alert, notification

BEGAN = -1800.0  # seconds from now, when the first episode began
EPISODE = 20.0  # from one episode to the next
LASTS = 10.0


class Post(msgspec.Struct, frozen=True):
    """One request, and the answer that it must get."""

    body: bytes
    headers: dict[str, str]
    answer: int
    news: tuple[News, ...] = ()


def valid(news: Sequence[News], now: float) -> Post:
    """A notification with these alerts."""
    body = json.dumps(notification(*(_alert(one, now) for one in news))).encode()
    return Post(body, _headers(), 202, tuple(news))


def disturbing(random: random.Random, now: float) -> Post:
    """One that must be refused, or accepted without any effect."""
    good = json.dumps(notification(_alert(News("ni0", 0, True), now))).encode()
    headers = _headers()
    return random.choice(
        (
            Post(good[: random.randrange(len(good))], headers, 400),
            Post(b"[" * random.randrange(1, 100_000), headers, 400),
            Post(good.replace(b'"4"', b'"5"', 1), headers, 400),
            Post(bytes(random.randrange(256) for _ in range(64)), headers, 400),
            Post(b" " * 300_000, headers, 413),
            Post(good, headers | {"Authorization": "Bearer wrong"}, 401),
            Post(good, headers | {"Authorization": "Basic \u00e4"}, 401),
            Post(good, headers | {"Content-Type": "text/plain"}, 415),
            _hostile(now, group="../../x"),
            _hostile(now, interface="ni0; reboot"),
            _hostile(now, interface=""),
            _hostile(now, name="x\n\x1b[2J"),
            _hostile(now, remediation="nothing"),
        )
    )


def _hostile(now: float, **labels: str) -> Post:
    wanted = {"interface": "nope0", **labels}
    body = json.dumps(notification(alert(started=now - 30, **wanted))).encode()
    return Post(body, _headers(), 202)


def _alert(news: News, now: float) -> dict[str, Any]:
    started = now + BEGAN + EPISODE * news.episode
    group = f"g{int(news.interface.removeprefix('ni')) // 100}"
    state = "firing" if news.firing else "resolved"
    return alert(news.interface, group=group, status=state, started=started, ended=started + LASTS)


def _headers() -> dict[str, str]:
    return {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
