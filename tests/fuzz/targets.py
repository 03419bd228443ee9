"""What is fuzzed: each takes bytes and may raise only the error that it promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ipmp_remediator.config import load
from ipmp_remediator.intake import select
from ipmp_remediator.payload import PayloadError, parse
from ipmp_remediator.reader import ConfigError
from tests.support.situations import config


def payload(body: bytes) -> bool:
    """Parse a body, and judge what came of it; tell whether it was accepted."""
    try:
        notification = parse(body)
    except PayloadError:
        return False
    for alert in notification.alerts:
        assert select(alert, config())
        assert alert.ended >= alert.started
    return True


def policy(path: Path) -> Callable[[bytes], bool]:
    """Make a target that reads a policy from a file; every error is one line with the file."""

    def target(text: bytes) -> bool:
        path.write_bytes(text)
        try:
            load(path)
        except ConfigError as error:
            lines = error.errors
        else:
            return True
        assert lines
        assert all(str(path) in line and "\n" not in line for line in lines), lines
        return False

    return target
