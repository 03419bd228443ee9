"""From one reading of the daemon to the body of one scrape.

Everything here is a function of the reading and of this process: each scrape has its own registry
over its own snapshot, so concurrent scrapes cannot disturb each other.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from ipmp.model import Status
from ipmp_exporter.collectors import DEFAULT
from ipmp_exporter.collectors.family import Subject
from ipmp_exporter.daemon import Reading
from ipmp_exporter.negotiation import Format
from ipmp_exporter.rendering import render_openmetrics, render_text
from ipmp_exporter.selection import Selection

VERSION = version("ipmp")
EVERYTHING = Selection()

_log = structlog.get_logger("ipmp_exporter")


class ScrapeCollector(Collector):
    """Every family of one scrape: the subjects', then those about the scrape itself.

    One collector for all of them, because the durations can only be told once the others have run,
    also when the scraper asked for a few names only.
    """

    def __init__(
        self,
        reading: Reading,
        subjects: Sequence[Subject] = DEFAULT,
        until: float = math.inf,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._reading = reading
        self._subjects = subjects
        self._until = until
        self._clock = clock

    def describe(self) -> Iterator[Metric]:
        """Yield every family without samples: what `name[]` and the clash check look at."""
        for subject in self._subjects:
            yield from (family.empty() for family in subject.families)
        yield from about_scrape({}, up=False)

    def collect(self) -> Iterator[Metric]:
        """Yield fresh families; a subject that fails, or is late, is left out and reported so."""
        status = self._reading.status
        runs = {"status": (self._reading.seconds, status is not None)}
        for subject in self._subjects:
            began = self._clock()
            late = began > self._until
            families = None if status is None or late else _collect(subject, status)
            runs[subject.name] = (self._clock() - began, families is not None)
            yield from families or ()
        yield from about_scrape(runs, up=status is not None)


def _collect(subject: Subject, status: Status) -> list[Metric] | None:
    try:
        return subject.collect(status)
    except Exception:
        # One wrong value must not take the other subjects' metrics away; the series tells of it.
        _log.exception("a collector failed", collector=subject.name)
        return None


def about_scrape(runs: dict[str, tuple[float, bool]], *, up: bool) -> Iterator[Metric]:
    """Yield what a scrape tells of itself; `runs` is seconds and success by collector."""
    yield GaugeMetricFamily(
        "ipmp_up", "1 if mpathd answered this scrape with its state, else 0.", value=up
    )
    yield InfoMetricFamily(
        "ipmp_build",
        "The exporter that answered: version, and the version of its Python.",
        value={"version": VERSION, "python": platform.python_version()},
    )
    duration = GaugeMetricFamily(
        "ipmp_collector_duration_seconds",
        "Time that a collector took in this scrape; status is the reading of mpathd's state.",
        labels=("collector",),
    )
    success = GaugeMetricFamily(
        "ipmp_collector_success", "1 if the collector worked, else 0.", labels=("collector",)
    )
    for name, (seconds, worked) in runs.items():
        duration.add_metric((name,), seconds)
        success.add_metric((name,), worked)
    yield from (duration, success)


class OwnProcess(Collector):
    """`process_*` of the exporter; the library's collector, with the `describe()` it lacks."""

    def __init__(self) -> None:
        self._process = ProcessCollector(registry=None)

    def describe(self) -> list[Metric]:
        """Return the families that a collection would have."""
        return self.collect()

    def collect(self) -> list[Metric]:
        """Return CPU time, memory, file descriptors and start time of this process."""
        return list(self._process.collect())


_OWN_PROCESS = OwnProcess()


def exposition(
    reading: Reading,
    wanted: Format,
    selection: Selection = EVERYTHING,
    until: float = math.inf,
    *,
    own_process: bool = True,
) -> bytes:
    """Return the body of a scrape in the wanted format.

    What was not collected `until` then (`time.perf_counter`) is left out and reported as failed.
    """
    registry = CollectorRegistry()
    registry.register(ScrapeCollector(reading, selection.subjects, until))
    if own_process:
        registry.register(_OWN_PROCESS)
    names = selection.names
    source = registry.restricted_registry(names) if names else registry
    render = render_openmetrics if wanted.openmetrics else render_text
    return render(source.collect())
