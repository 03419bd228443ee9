"""The keeper: pid 1 of a lab. Builds the network, says so, and stays until the lab is to end.

    python -m ipmp.lab.keeper --nics 2 [--lifeline]

It runs in new namespaces (`namespaces.unshare_command`). On standard output it writes one line of
JSON: {"pid": its pid as seen from outside} once everything is up, or {"error": sentence}. With
--lifeline it ends when its standard input does, which is when whoever started it has closed the
other end of that pipe or has died, however that came about.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ipmp.lab import topology
from ipmp.lab.namespaces import LabError

CLONE_NEWNET = 0x40000000
READY_WITHIN = 10.0  # seconds; it takes some milliseconds

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    """Build the lab, report, and wait for its end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nics", type=int, required=True)
    parser.add_argument("--lifeline", action="store_true")
    args = parser.parse_args()
    # Whoever mounted this /proc sees us by that number; ours, mounted next, says 1.
    outer_pid = int(os.readlink("/proc/self"))
    try:
        _mount_private()
        _build(args.nics)
        _wait_until_up()
    except (LabError, OSError) as error:
        _report({"error": str(error)})
        return 1
    _report({"pid": outer_pid})
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # as pid 1 we inherit orphans: let them go
    if args.lifeline:
        sys.stdin.buffer.read()
        return 0
    while True:
        signal.pause()


def _report(answer: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)


def _mount_private() -> None:
    """Give the lab its own /proc and an empty /run: named namespaces live in /run/netns."""
    for kind, target in (("proc", "/proc"), ("tmpfs", "/run")):
        if _libc.mount(kind.encode(), target.encode(), kind.encode(), 0, None) != 0:
            raise OSError(ctypes.get_errno(), f"cannot mount {kind} on {target} for the lab")


def _build(nics: int) -> None:
    _ip_batch(None, "link set lo up\n" + topology.namespace_batch())
    for node in topology.NODES:
        with _inside(node):
            for name, value in topology.sysctls(node).items():
                _write_sysctl(name, value)
        _ip_batch(node, "link set lo up\n")
    for node, batch in topology.link_batches(nics):
        _ip_batch(node, batch)
    for node, batch in topology.address_batches(nics):
        _ip_batch(node, batch)


def _write_sysctl(name: str, value: str) -> None:
    try:
        Path("/proc/sys/net", name).write_text(value)
    except FileNotFoundError as error:
        raise LabError(f"this kernel has no sysctl net/{name}; the lab needs IPv6") from error


@contextmanager
def _inside(node: str) -> Iterator[None]:
    """Be in the network namespace of `node`. os.setns came with Python 3.12."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{node}", os.O_RDONLY)
    try:
        _setns(there)
        yield
    finally:
        _setns(home)
        os.close(home)
        os.close(there)


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "cannot enter a network namespace of the lab")


def _ip_batch(node: str | None, batch: str) -> None:
    where = ("-n", node) if node else ()
    done = _ip(*where, "-batch", "-", stdin=batch)
    if done.returncode != 0:
        raise LabError(f"cannot build {node or 'the lab'}: {done.stderr.strip()}")


def _ip(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = ("ip", *arguments)
    return subprocess.run(  # noqa: S603
        command, input=stdin, capture_output=True, text=True, check=False
    )


def _wait_until_up() -> None:
    """Wait until every end of a cable has its carrier and every switch port forwards.

    Not for the bridges: the kernel may publish their state a second late, and no frame cares.
    """
    deadline = time.monotonic() + READY_WITHIN
    waiting = list(topology.NODES)
    while waiting:
        node = waiting[0]
        late = [link["ifname"] for link in _links(node) if not _is_up(link)]
        if not late:
            waiting.pop(0)
        elif time.monotonic() > deadline:
            raise LabError(f"{node}: no carrier on {', '.join(late)} after {READY_WITHIN:.0f} s")
        else:
            time.sleep(0.005)


def _links(node: str) -> list[dict[str, Any]]:
    found = _ip("-n", node, "-j", "-d", "link", "show", "type", "veth")
    links: list[dict[str, Any]] = json.loads(found.stdout)
    return links


def _is_up(link: dict[str, Any]) -> bool:
    port = link.get("linkinfo", {}).get("info_slave_data")
    return link["operstate"] == "UP" and (port is None or port["state"] == "forwarding")


if __name__ == "__main__":
    sys.exit(main())
