"""What the daemon has counted since it started."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ipmp.daemon.durations import Durations
from ipmp.decision import Refusal
from ipmp.model import Family, ProblemCode

OPERATIONS = ("offline", "online")  # known from the start; the others appear when first asked for


class Counts:
    """Counters, which never decrease, and the operations that are being carried out."""

    def __init__(self) -> None:
        self.announced = {str(family): 0 for family in Family}
        self.announce_failures = {str(family): 0 for family in Family}
        self.operations = dict.fromkeys(OPERATIONS, 0)
        self.operation_failures: dict[str, dict[str, int]] = {name: {} for name in OPERATIONS}
        self.operations_under_way = dict.fromkeys(OPERATIONS, 0)
        self.durations = {name: Durations() for name in OPERATIONS}
        self.overruns = 0
        self.reloads = 0
        self.reload_failures = 0

    @contextmanager
    def operation(self, name: str, monotonic: Callable[[], float]) -> Iterator[None]:
        """Count an operation that somebody asks for, how long it takes, and why it fails."""
        self.operations[name] = self.operations.get(name, 0) + 1
        self.operations_under_way[name] = self.operations_under_way.get(name, 0) + 1
        began = monotonic()
        try:
            yield
        except Refusal as refusal:
            self._failed(name, str(refusal.decision.reason))
            raise
        except OSError:
            self._failed(name, str(ProblemCode.INTERNAL))
            raise
        else:
            self.durations.setdefault(name, Durations()).note(monotonic() - began)
        finally:
            self.operations_under_way[name] -= 1

    def _failed(self, operation: str, code: str) -> None:
        failures = self.operation_failures.setdefault(operation, {})
        failures[code] = failures.get(code, 0) + 1
