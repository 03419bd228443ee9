"""Round-trip times of one target on one path, smoothed as TCP does it (Jacobson/Karels).

The *conservative* round-trip time, average + 4 x mean deviation, is Solaris' "crtt": what a reply
may take before its probe counts as lost (ipmp-semantics 2.6).
"""

from __future__ import annotations

import msgspec

AVERAGE_GAIN = 1 / 8
DEVIATION_GAIN = 1 / 4
DEVIATIONS = 4
#: Least head-room above the average: Solaris counts in milliseconds (RFC 6298 calls it G).
GRANULARITY = 0.001


class RoundTrip(msgspec.Struct, gc=False):
    """Average and deviation, seconds; both 0 while nothing was measured."""

    average: float = 0.0
    deviation: float = 0.0
    deferred: float = 0.0  # one suspicious time, held back until the next one; 0: none

    @property
    def conservative(self) -> float:
        """The time after which a reply is overdue; 0 while unknown."""
        return _conservative(self.average, self.deviation) if self.average else 0.0

    def take(self, rtt: float, limit: float) -> bool:
        """Integrate a measured time; whether `conservative` may have changed.

        A time that alone would push it above `limit` is held back. The next one decides: if it is
        as long, both are believed, else the first was a spike and is forgotten.
        """
        rtt = max(rtt, 1e-6)
        suspicious = self.conservative <= limit < _conservative(*self._with(rtt))
        if suspicious and not self.deferred:
            self.deferred = rtt
            return False
        if suspicious:
            self.average, self.deviation = self._with(self.deferred)
        self.deferred = 0.0
        self.average, self.deviation = self._with(rtt)
        return True

    def _with(self, rtt: float) -> tuple[float, float]:
        if not self.average:
            return rtt, rtt / 2
        error = rtt - self.average
        return (
            self.average + error * AVERAGE_GAIN,
            self.deviation + (abs(error) - self.deviation) * DEVIATION_GAIN,
        )


def _conservative(average: float, deviation: float) -> float:
    return average + max(GRANULARITY, DEVIATIONS * deviation)
