"""Every failure of a request as `application/problem+json`, and never anything else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

import msgspec
import structlog
from aiohttp import web

from ipmp.config import ConfigError
from ipmp.decision import Reason, Refusal
from ipmp.model import Problem, ProblemCode

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = structlog.get_logger("ipmp.api")

_REFUSALS: dict[Reason, tuple[HTTPStatus, ProblemCode]] = {
    Reason.UNKNOWN_INTERFACE: (HTTPStatus.NOT_FOUND, ProblemCode.UNKNOWN_INTERFACE),
    Reason.UNKNOWN_ADDRESS: (HTTPStatus.NOT_FOUND, ProblemCode.UNKNOWN_ADDRESS),
    Reason.MINIMUM_REDUNDANCY: (HTTPStatus.CONFLICT, ProblemCode.MINIMUM_REDUNDANCY),
    Reason.NOT_IN_GROUP: (HTTPStatus.CONFLICT, ProblemCode.NOT_IN_GROUP),
    Reason.ALREADY_OFFLINE: (HTTPStatus.CONFLICT, ProblemCode.ALREADY_OFFLINE),
    Reason.NOT_OFFLINE: (HTTPStatus.CONFLICT, ProblemCode.NOT_OFFLINE),
    Reason.DUPLICATE_HWADDR: (HTTPStatus.CONFLICT, ProblemCode.DUPLICATE_HWADDR),
    Reason.HELD: (HTTPStatus.CONFLICT, ProblemCode.HELD),
    Reason.BUSY: (HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.BUSY),
    # The kernel may take it the next time, so that asking again is worth it.
    Reason.KERNEL_REFUSED: (HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.BUSY),
}
_OTHER_REFUSAL = (HTTPStatus.UNPROCESSABLE_ENTITY, ProblemCode.INVALID)


class InvalidRequest(Exception):
    """A request that cannot be understood, or means nothing; the text says why."""

    def __init__(self, detail: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(detail)
        self.status = status


def problem(status: HTTPStatus, code: ProblemCode, detail: str) -> web.Response:
    """Return the answer of RFC 9457."""
    body = msgspec.json.encode(Problem(code, detail, status.value, status.phrase))
    return web.Response(
        body=body, status=status.value, content_type="application/problem+json", charset="utf-8"
    )


@web.middleware
async def report_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what a handler raises into an answer; a defect of ours is logged, not shown."""
    try:
        return await handler(request)
    except Refusal as refusal:
        status, code = _REFUSALS.get(refusal.decision.reason, _OTHER_REFUSAL)
        return problem(status, code, str(refusal))
    except ConfigError as error:
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, ProblemCode.INVALID, str(error))
    except InvalidRequest as error:
        return problem(error.status, ProblemCode.INVALID, str(error))
    except web.HTTPException as error:
        status = HTTPStatus(error.status)
        answer = problem(status, ProblemCode.INVALID, f"{request.method}: {status.description}")
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer
    except ConnectionError:
        raise  # the client has gone: there is nobody to tell
    except Exception:
        _log.exception("a request failed", method=request.method, path=request.path)
        return problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            ProblemCode.INTERNAL,
            "mpathd failed to answer; its log says why",
        )
