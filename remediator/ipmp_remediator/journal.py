"""Tell a decision to the log and to the metrics, once it is stored."""

from __future__ import annotations

import structlog

from ipmp_remediator.decision import Decision, Kind
from ipmp_remediator.metrics import Metrics

_log = structlog.get_logger()

_QUIET = (Kind.IGNORED,)
_LOUD = (Kind.REFUSED, Kind.WAITING, Kind.FAILED, Kind.ESCALATED)


class Journal:
    """Where stored decisions are told."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def tell(self, decision: Decision) -> None:
        """Log and count one decision."""
        self._metrics.decided(decision)
        log = _log.info
        if decision.kind in _QUIET:
            log = _log.debug
        elif decision.kind in _LOUD:
            log = _log.warning
        log(
            decision.sentence(),
            kind=decision.kind,
            reason=decision.reason,
            group=decision.group,
            interface=decision.interface,
            alertname=decision.alertname,
            fingerprint=decision.fingerprint,
            policy=decision.policy,
        )
