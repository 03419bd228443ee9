"""A lab: starting and ending it, programs in its nodes, faults, and a look at its kernel."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from ipmp.lab import faults, topology
from ipmp.lab.captures import Capture
from ipmp.lab.faults import Fault
from ipmp.lab.namespaces import LabError, enter_command, unshare_command
from ipmp.lab.processes import NodeProcess
from ipmp.lab.streams import Stream, TcpStream

UP_WITHIN = 20.0  # seconds; it takes a tenth of one
DOWN_WITHIN = 10.0
REPAIRED_WITHIN = 5.0


class Lab:
    """A network in namespaces (see `topology`), living as long as its keeper process.

    As a context manager it ends with the block, and with this process however that dies. Started
    with `detached=True` it stays until `stop`, and other processes find it with `attach`.
    `directory` holds the lab's state file, which the keeper locks as long as it lives.
    """

    def __init__(self, directory: Path | str, nics: int = 2) -> None:
        if not 2 <= nics <= topology.MAX_NICS:
            raise LabError(f"the host has 2 or {topology.MAX_NICS} NICs, not {nics}")
        self.directory = Path(directory)
        self.nics = nics
        self.keeper = 0  # pid, seen from outside
        self._launcher: subprocess.Popen[str] | None = None

    @classmethod
    def attach(cls, directory: Path | str) -> Lab:
        """Return the lab that runs in `directory`; raise `LabError` if none does."""
        try:
            with _state_file(Path(directory)).open() as state:
                if _locked(state.fileno()):
                    saved = json.loads(state.read() or "{}")
                    lab = cls(directory, saved["nics"])
                    lab.keeper = saved["pid"]
                    return lab
        except (FileNotFoundError, KeyError):
            pass
        raise LabError(f"no lab is up in {directory}; start one with: ipmp lab up")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self, *, detached: bool = False) -> None:
        """Build the network; on return every carrier is up and every switch port forwards."""
        command = unshare_command()
        self.directory.mkdir(parents=True, exist_ok=True)
        with _state_file(self.directory).open("a+") as state:
            if _locked(state.fileno(), take=True):
                raise LabError(f"a lab is up in {self.directory} already; ipmp lab down ends it")
            state.truncate(0)
            self._launcher = self._launch(command, state.fileno(), detached)
            try:
                self.keeper = self._await_keeper()
            except BaseException:
                self._launcher.kill()
                self._launcher.wait()
                raise
            state.write(json.dumps({"pid": self.keeper, "nics": self.nics}))

    def _launch(self, command: Sequence[str], lock: int, detached: bool) -> subprocess.Popen[str]:
        lifeline = () if detached else ("--lifeline",)
        keeper = (sys.executable, "-P", "-m", "ipmp.lab.keeper", f"--nics={self.nics}", *lifeline)
        with (self.directory / "keeper.log").open("w") as log:
            return subprocess.Popen(  # noqa: S603
                (*command, "--", *keeper),
                # Its end of this pipe is how the keeper learns that we are gone.
                stdin=subprocess.DEVNULL if detached else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=(lock,),  # the lock belongs to the open file: the keeper now holds it too
                start_new_session=True,  # ^C is for us; we end the lab in our own order
                text=True,
            )

    def _await_keeper(self) -> int:
        assert self._launcher is not None
        assert self._launcher.stdout is not None
        with self._launcher.stdout as pipe:
            answered, _, _ = select.select([pipe], [], [], UP_WITHIN)
            line = pipe.readline() if answered else ""
        answer: dict[str, Any] = json.loads(line or "{}")
        if "pid" not in answer:
            log = (self.directory / "keeper.log").read_text().strip().splitlines()
            why = answer.get("error") or (log[-1] if log else "its keeper did not answer")
            raise LabError(f"cannot start the lab: {why}")
        return int(answer["pid"])

    def stop(self) -> None:
        """End the lab: every process in it, and with the last one its whole network."""
        if self.keeper:
            _end_process(self.keeper)
            self.keeper = 0
        if self._launcher is not None:
            if self._launcher.stdin is not None:
                self._launcher.stdin.close()
            self._launcher.wait(DOWN_WITHIN)
        _state_file(self.directory).unlink(missing_ok=True)

    # ------------------------------------------------------------------ programs in nodes

    def popen(self, node: str, argv: Sequence[str], **options: Any) -> NodeProcess:
        """Start `argv` in `node`; `options` are those of `subprocess.Popen`."""
        cwd = str(options.pop("cwd", Path.cwd()))
        return NodeProcess((*self.enter(node, cwd), *argv), **options)

    def run(
        self,
        node: str,
        argv: Sequence[str],
        *,
        check: bool = True,
        input: str | None = None,
        timeout: float = 60.0,
        **options: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` in `node` and return its output as text; raise as `subprocess.run` does."""
        stdin = subprocess.DEVNULL if input is None else subprocess.PIPE
        pipes = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with self.popen(node, argv, text=True, **(pipes | options)) as process:
            try:
                out, err = process.communicate(input, timeout)
            except BaseException:
                process.kill()
                raise
        if check and process.returncode:
            raise subprocess.CalledProcessError(process.returncode, list(argv), out, err)
        return subprocess.CompletedProcess(list(argv), process.returncode, out, err)

    def enter(self, node: str, cwd: str | None = None) -> tuple[str, ...]:
        """Return the command prefix that runs a program in `node`."""
        if node not in topology.NODES:
            raise LabError(f"there is no node {node!r}; the nodes are {', '.join(topology.NODES)}")
        return enter_command(self.keeper, node, cwd or str(Path.cwd()))

    # ------------------------------------------------------------------ measuring

    def meter(
        self, source: str, address: str, *, rate: float = 1000, count: int | None = None
    ) -> Stream:
        """Send `rate` numbered UDP packets a second from `source` to `address`, which echoes them.

        Returns while they flow. Without `count` they flow until `result` is asked for.
        """
        return Stream(self, source, address, rate=rate, count=count)

    def tcp_meter(
        self, source: str, address: str, *, rate: float = 1000, count: int | None = None
    ) -> TcpStream:
        """Do the same over one TCP connection, whose stalls count."""
        return TcpStream(self, source, address, rate=rate, count=count, options=("--tcp",))

    def sniff(self, node: str, ifname: str, *, count: bool = False) -> Capture:
        """Record ARP, NS and NA at an interface from now on; with `count` count unicast IP too."""
        return Capture(self, node, ifname, count=count)

    # ------------------------------------------------------------------ faults

    def fault(self, fault: Fault | str, nic: str, percent: int = 0) -> None:
        """Break the path of `nic`: "cable-pull", "silent" or "loss" (of `percent` frames)."""
        cable = self.cable(nic)
        self._switch(cable, faults.command(Fault(fault), cable, percent))

    def repair(self, nic: str | None = None) -> None:
        """End all faults of `nic`, or of every NIC; on return its switch port forwards again."""
        for name in [nic] if nic else topology.nic_names(self.nics):
            cable = self.cable(name)
            self._switch(cable, faults.repair_command(cable))
            self._switch(cable, faults.clear_loss_command(cable))
            deadline = time.monotonic() + REPAIRED_WITHIN
            while not faults.settled(self._port(cable)):
                if time.monotonic() > deadline:
                    raise LabError(f"{name}: the switch port does not forward after its repair")
                time.sleep(0.005)

    def faults(self, nic: str) -> list[Fault]:
        """Return the faults of `nic`, as the kernel shows them."""
        cable = self.cable(nic)
        found = faults.seen(self._port(cable))
        if self.run(cable.switch, faults.show_loss_command(cable)).stdout.strip() == "yes":
            found.append(Fault.LOSS)
        return found

    def remove_nic(self, nic: str) -> None:
        """Take the NIC out of the host, as a hot-unplugged card; its cable goes with it."""
        self.run(topology.HOST, ("ip", "link", "del", self.cable(nic).nic))

    def insert_nic(self, nic: str) -> None:
        """Put a removed NIC back: the same name and MAC, another ifindex, down, no address."""
        cable = self.cable(nic)
        self.run(cable.switch, ("ip", "-batch", "-"), input="\n".join(cable.lines()) + "\n")

    def cable(self, nic: str) -> topology.Cable:
        """Return the cable of one of the host's NICs."""
        names = topology.nic_names(self.nics)
        if nic not in names:
            raise LabError(f"the host has no NIC {nic!r}; its NICs are {', '.join(names)}")
        return topology.nic_cable(nic)

    def _switch(self, cable: topology.Cable, command: Sequence[str]) -> None:
        done = self.run(cable.switch, command, check=False)
        if done.returncode != 0:
            raise LabError(f"{cable.nic}: {' '.join(command)}: {done.stderr.strip()}")

    def _port(self, cable: topology.Cable) -> dict[str, Any]:
        found = self.ip_json(cable.switch, "-d", "link", "show", "dev", cable.port)
        return dict(found[0])

    # ------------------------------------------------------------------ looking

    def ip_json(self, node: str, *arguments: str) -> list[dict[str, Any]]:
        """Return what `ip -j ARGUMENTS` says in `node`."""
        output = self.run(node, ("ip", "-j", *arguments)).stdout
        found: list[dict[str, Any]] = json.loads(output or "[]")
        return [entry for entry in found if entry]  # a filter of ip's leaves {} behind

    def neighbour(self, node: str, address: str) -> str | None:
        """Return the MAC that `node` has for `address` in its neighbour table, if it has one."""
        found = self.ip_json(node, "neigh", "show", address)
        return next((entry["lladdr"] for entry in found if "lladdr" in entry), None)

    def mac(self, nic: str) -> str:
        """Return the MAC of one of the host's NICs (it is the same in every lab)."""
        return self.cable(nic).mac


def _state_file(directory: Path) -> Path:
    return directory / "lab.json"


def _end_process(pid: int) -> None:
    """Kill `pid` and wait for its end; pid 1 of a namespace is gone when all others in it are."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
        select.select([process], [], [], DOWN_WITHIN)
    except ProcessLookupError:
        return
    finally:
        os.close(process)


def _locked(descriptor: int, *, take: bool = False) -> bool:
    """Tell whether a keeper holds the state file; if none does and `take`, hold it now."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if take else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
