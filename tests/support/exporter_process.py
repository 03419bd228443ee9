"""The exporter as a process of its own, beside whatever daemon has its sockets in a directory."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running_exporter(run_dir: Path, *flags: str) -> Iterator[str]:
    """Run the exporter on a free port of loopback; yields HOST:PORT."""
    command = Path(sys.executable).with_name("ipmp_exporter")
    arguments = ("--web.listen-address=127.0.0.1:0", f"--run-dir={run_dir}", *flags)
    exporter = subprocess.Popen([command, *arguments], stderr=subprocess.PIPE, text=True)
    try:
        yield _address(exporter)
    finally:
        exporter.terminate()
        exporter.communicate(timeout=10)


def _address(exporter: subprocess.Popen[str]) -> str:
    assert exporter.stderr
    for line in exporter.stderr:
        if match := re.search(r"http://(127\.0\.0\.1:\d+)", line):
            return match[1]
    raise AssertionError("the exporter ended without saying where it listens")
