"""The probe engine with its sockets in the host of a lab, without the daemon around it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ipmp.lab import Lab
from ipmp.lab.topology import HOST
from ipmp.model import ProbeState
from ipmp.probing import Standing
from tests.support.wait import eventually

GROUP = """\
[groups.ipmp0]
interfaces = ["ni0", "ni1"]
failure_detection_time = "{time}"
[groups.ipmp0.probe]
"""
TEST_ADDRESSES = {"ni0": "192.168.1.21/32", "ni1": "192.168.1.22/32"}
ICMP = (
    'method = "icmp"\n'
    "test_addresses = { "
    + ", ".join(f'{nic} = "{address}"' for nic, address in TEST_ADDRESSES.items())
    + " }\n"
)


class Line(msgspec.Struct, frozen=True):
    """One line of the program's output; `time` is monotonic."""

    kind: str
    time: float
    facts: Any


class Prober:
    """What the program has written so far."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self.pid = 0

    def lines(self, kind: str) -> list[Line]:
        """All lines of a kind, in order."""
        found = self._output.read_bytes().split(b"\n")[:-1]
        decoded = (msgspec.json.decode(line, type=Line) for line in found)
        return [line for line in decoded if line.kind == kind]

    def last(self, kind: str) -> Any:
        """The facts of the last line of a kind."""
        return self.lines(kind)[-1].facts

    def standings(self) -> dict[str, Standing]:
        return msgspec.convert(self.last("standing"), dict[str, Standing])

    def verdicts(self) -> dict[str, str]:
        return {member: standing.verdict for member, standing in self.standings().items()}

    def history(self, member: str) -> list[str]:
        """The verdicts of a member, each once."""
        said = [line.facts.get(member, {}).get("verdict") for line in self.lines("standing")]
        return [v for n, v in enumerate(said) if n == 0 or v != said[n - 1]]

    def await_verdicts(self, timeout: float = 10.0, **verdicts: ProbeState) -> None:
        """Wait until the members are judged so."""

        def judged() -> bool:
            found = self.verdicts()
            assert found == {**found, **verdicts}
            return True

        eventually(judged, timeout)

    def outcomes(self, member: str, since: float = 0.0, **facts: object) -> list[Any]:
        return [
            line.facts
            for line in self.lines("outcome")
            if line.time > since
            and line.facts["member"] == member
            and all(line.facts[name] == value for name, value in facts.items())
        ]

    def targets(self, member: str, family: str) -> tuple[str, tuple[str, ...]]:
        """Mode and targets of a path, sorted."""
        for row in self.last("targets"):
            if (row["member"], row["family"]) == (member, family):
                return row["mode"], tuple(sorted(row["targets"]))
        return "disabled", ()

    def counters(self, member: str, family: str) -> dict[str, Any]:
        found: dict[str, Any] = self.last("counters").get(f"{member} {family}", {})
        return found


@contextmanager
def probing(
    lab: Lab, directory: Path, settings: str = "", time: str = "1s", *options: str
) -> Iterator[Prober]:
    """Run the program in the host; `settings` belong to [groups.ipmp0.probe]."""
    config, output = directory / "probing.toml", directory / "probing.jsonl"
    config.write_text(GROUP.format(time=time) + settings)
    program = (sys.executable, "-m", "tests.support.prober_program", str(config), str(output))
    process = lab.popen(HOST, (*program, *options))
    prober = Prober(output)
    try:
        eventually(lambda: output.exists() and prober.lines("targets"), 10)
        prober.pid = process.inner_pid
        yield prober
        assert process.poll() is None, "it has ended by itself"
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(10)


def add_test_addresses(lab: Lab) -> None:
    """Give the members their test addresses, as the reference recommends (pyroute2-eval 3.5)."""
    for setting in ("arp_ignore=1", "arp_announce=2"):
        lab.run(HOST, ("sysctl", "-qw", f"net.ipv4.conf.all.{setting}"))
    for nic, address in TEST_ADDRESSES.items():
        lab.run(HOST, ("ip", "addr", "add", address, "dev", nic, "noprefixroute"))
