"""The same request id twice is one operation (DESIGN 5.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from ipmp.decision import Decision, Kind, Reason, Refusal
from ipmp.model import OperationResult

KEPT_SECONDS = 3600.0
KEPT_ANSWERS = 10_000


class _Answer(NamedTuple):
    subject: tuple[str, str, bool]
    task: asyncio.Task[OperationResult]
    since: float  # loop time


class Once:
    """Runs operations, and answers a repeated one with the first one's answer.

    Duplicates that come while the first is under way wait for it. An answer that asks to try again
    (busy, or a failure of our own) is not kept, or trying again would be in vain.
    """

    def __init__(
        self, kept_seconds: float = KEPT_SECONDS, kept_answers: int = KEPT_ANSWERS
    ) -> None:
        self._kept_seconds = kept_seconds
        self._kept_answers = kept_answers
        self._answers: dict[str, _Answer] = {}  # oldest first

    async def run(
        self,
        request_id: str,
        subject: tuple[str, str, bool],
        start: Callable[[], Coroutine[Any, Any, OperationResult]],
    ) -> OperationResult:
        """Return the answer to `request_id`; call `start` for it unless that was done before.

        `subject` is operation, interface and dry run; raises Refusal when the id was used for
        another one, and whatever the operation raises.
        """
        self._forget_old()
        answer = self._answers.get(request_id)
        if answer is None:
            if len(self._answers) >= self._kept_answers:
                raise _refusal(Reason.BUSY, subject, "too many operations are under way")
            task = asyncio.create_task(start(), name=f"request {request_id}")
            task.add_done_callback(lambda done: self._finished(request_id, done))
            answer = _Answer(subject, task, asyncio.get_running_loop().time())
            self._answers[request_id] = answer
        elif answer.subject != subject:
            why = f"its request_id was used before to {answer.subject[0]} {answer.subject[1]}"
            raise _refusal(Reason.INVALID, subject, why)
        # One client's departure must not end what others wait for.
        return await asyncio.shield(answer.task)

    async def close(self) -> None:
        """End what is still under way."""
        tasks = [answer.task for answer in self._answers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _finished(self, request_id: str, task: asyncio.Task[OperationResult]) -> None:
        if task.cancelled() or _ask_again(task.exception()):
            del self._answers[request_id]

    def _forget_old(self) -> None:
        oldest = asyncio.get_running_loop().time() - self._kept_seconds
        for request_id, answer in list(self._answers.items()):
            full = len(self._answers) >= self._kept_answers
            if answer.since > oldest and not full:
                break
            if answer.task.done():
                del self._answers[request_id]


def _ask_again(error: BaseException | None) -> bool:
    if isinstance(error, Refusal):
        return error.decision.reason is Reason.BUSY
    return error is not None


def _refusal(reason: Reason, subject: tuple[str, str, bool], why: str) -> Refusal:
    return Refusal(Decision(Kind.REFUSED, reason, interface=subject[1], detail={"why": why}))
