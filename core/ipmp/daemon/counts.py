"""What the daemon has counted since it started."""

from __future__ import annotations

from ipmp.model import Family


class Counts:
    """Counters; they never decrease."""

    def __init__(self) -> None:
        self.announced = {str(family): 0 for family in Family}
        self.announce_failures = {str(family): 0 for family in Family}
        self.operations = dict.fromkeys(("offline", "online"), 0)
        self.operation_failures: dict[str, dict[str, int]] = {"offline": {}, "online": {}}
        self.overruns = 0

    def asked(self, operation: str) -> None:
        """Somebody asked for an operation."""
        self.operations[operation] = self.operations.get(operation, 0) + 1

    def failed(self, operation: str, code: str) -> None:
        """It was refused, or could not be carried out."""
        failures = self.operation_failures.setdefault(operation, {})
        failures[code] = failures.get(code, 0) + 1
