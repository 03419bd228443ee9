"""A running remediator under a storm of notifications, killed again and again.

In rounds: episodes begin for some interfaces and end for others; their alerts are sent several
times, in a random order, from many connections, among malformed and hostile requests. A sender that
gets no answer, or 503, sends again, as Alertmanager does. After each round everything must come to
rest where the model says, by exactly the effects that the model says.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from pathlib import Path

import aiohttp
import msgspec

from tests.storm.model import Effect, Model, News
from tests.storm.posts import Post, disturbing, valid
from tests.support.fake_control_daemon import FakeDaemon
from tests.support.remediator import NO_LIMITS, TOKEN, Subprocess, until

GROUPS, MEMBERS = 8, 6
CONNECTIONS = 50
REPLAYS = 4
_SETTLE = 60.0
_ANSWER = 30.0


class Result(msgspec.Struct):
    """What a storm has shown."""

    posts: int = 0
    answers: Counter[int] = msgspec.field(default_factory=Counter)
    unanswered: int = 0
    kills: int = 0
    effects: int = 0
    resident: list[int] = msgspec.field(default_factory=list)  # KiB, after each round without kills


class Storm:
    """One storm; `play` raises AssertionError where the remediator is wrong."""

    def __init__(self, directory: Path, run_dir: Path, seed: int) -> None:
        self._random = random.Random(seed)
        groups = {f"g{g}": tuple(f"ni{100 * g + m}" for m in range(MEMBERS)) for g in range(GROUPS)}
        # The last of each group is never drained, so that the order of drains does not matter.
        self._interfaces = [name for members in groups.values() for name in members[:-1]]
        self._daemon = FakeDaemon(run_dir, groups)
        self._process = Subprocess(directory, run_dir, _policy(directory, groups))
        self._up = asyncio.Event()
        self._now = time.time()
        self._episode = dict.fromkeys(self._interfaces, -1)
        self._open: set[str] = set()
        self._model = Model()
        self.result = Result()

    async def play(self, posts: int, *, kill_every: int | None) -> Result:
        """Send so many posts, killing the remediator after about so many answers and effects."""
        await self._daemon.start()
        await self._start()
        try:
            while self.result.posts < posts:
                await self._round(kill_every)
        finally:
            await self._process.end(signal.SIGTERM)
            await self._daemon.stop()
        assert not self._process.logged("did not expect"), "an unexpected error was logged"
        return self.result

    async def calm(self, posts: int) -> None:
        """Send so many more posts without a kill, and note the memory that is in use."""
        await self._daemon.start()
        await self._start()
        end = self.result.posts + posts
        try:
            while self.result.posts < end:
                await self._round(None)
                self.result.resident.append(_resident(self._process.pid))
        finally:
            await self._process.end(signal.SIGTERM)
            await self._daemon.stop()

    async def _round(self, kill_every: int | None) -> None:
        posts, before = self._posts(), len(self._daemon.effects)
        done = asyncio.Event()
        killer = asyncio.create_task(self._kill(kill_every, done)) if kill_every else None
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS)
        ) as session:
            waiting = iter(posts)
            await asyncio.gather(*(self._send(session, waiting) for _ in range(CONNECTIONS)))
        wanted = self._model.settle()
        await self._settled(before, wanted)
        done.set()
        if killer:
            await killer
        await self._at_rest()
        assert sorted(self._daemon.effects[before:]) == wanted
        self.result.effects += len(wanted)

    async def _settled(self, before: int, wanted: list[Effect]) -> None:
        effects = self._daemon.effects
        try:
            async with asyncio.timeout(_SETTLE):
                while sorted(effects[before:]) != wanted:
                    assert len(effects) - before <= len(wanted), "more was done than is wanted"
                    await asyncio.sleep(0.02)
        except TimeoutError:
            done = Counter(effects[before:])
            raise AssertionError(
                f"missing {Counter(wanted) - done}, too much {done - Counter(wanted)}"
            ) from None

    async def _at_rest(self) -> None:
        """Nothing more may come: all is answered, nothing waits."""

        async def nothing_waits() -> bool:
            names = ("ipmp_remediation_pending", "ipmp_remediation_in_progress")
            return [await self._process.metric(name) for name in names] == [0, 0]

        await until(nothing_waits, "nothing waits")

    def _posts(self) -> list[Post]:
        """The posts of one round, in a random order."""
        news: list[News] = []
        for name in self._interfaces:
            dice, episode = self._random.random(), self._episode[name]
            if dice < 0.5 and name not in self._open:  # the next one begins; old news comes late
                if episode >= 0:
                    news += [News(name, episode, False), News(name, episode, True)] * REPLAYS
                self._episode[name] = episode + 1
                self._open.add(name)
                news += [News(name, episode + 1, True)] * REPLAYS
            elif dice < 0.8 and episode >= 0:  # it ends, or has ended
                self._open.discard(name)
                news += [News(name, episode, True), News(name, episode, False)] * REPLAYS
        self._random.shuffle(news)
        posts = []
        while news:
            size = self._random.randint(1, 3)
            posts.append(valid(news[:size], self._now))
            news = news[size:]
        posts += [disturbing(self._random, self._now) for _ in range(len(posts) // 2)]
        self._random.shuffle(posts)
        return posts

    async def _send(self, session: aiohttp.ClientSession, waiting: object) -> None:
        for post in waiting:  # type: ignore[attr-defined]
            answer = await self._answer(session, post)
            self.result.posts += 1
            self.result.answers[answer] += 1
            assert answer == post.answer, (answer, post.answer, post.body[:300])
            for news in post.news:
                self._model.accept(news)

    async def _answer(self, session: aiohttp.ClientSession, post: Post) -> int:
        """The first answer that is not 503."""
        end = time.monotonic() + _ANSWER
        while True:
            await self._up.wait()
            try:
                async with session.post(
                    f"{self._process.url}/alerts", data=post.body, headers=post.headers
                ) as response:
                    if response.status != 503:
                        return response.status
            except (aiohttp.ClientError, OSError):
                self.result.unanswered += 1
            assert time.monotonic() < end, "no answer"
            await asyncio.sleep(0.02)

    async def _kill(self, about: int, done: asyncio.Event) -> None:
        """Kill and start again, amid posts and amid what they lead to, until the round is over."""
        while True:
            goal = self._progress() + self._random.randint(1, 2 * about)
            while self._progress() < goal:
                if done.is_set():
                    return
                await asyncio.sleep(0.002)
            self._up.clear()
            status = await self._process.end(signal.SIGKILL)
            assert status == -signal.SIGKILL, f"it had ended by itself with {status}"
            self.result.kills += 1
            await self._start()

    def _progress(self) -> int:
        """Something that grows with every answer and every effect."""
        return self.result.posts + len(self._daemon.effects)

    async def _start(self) -> None:
        await self._process.start()
        self._up.set()


def _policy(directory: Path, groups: dict[str, tuple[str, ...]]) -> Path:
    (directory / "token").write_text(TOKEN)
    allow = "\n".join(f"{group} = {list(members)}" for group, members in groups.items())
    limits = "\n".join(f"{key} = {value}" for key, value in NO_LIMITS.items())
    path = directory / "remediator.toml"
    path.write_text(
        'token_file = "token"\ndry_run = false\n[[policy]]\nname = "drain"\n'
        f'match = {{ remediation = "drain" }}\naction = "offline"\n[allow]\n{allow}\n'
        f"[limits]\n{limits}\n"
    )
    return path


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
