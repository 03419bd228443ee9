"""What the kernel cannot remember, in files of the run directory, and the lock of the only daemon.

`intent.json` is small and written before an operation is carried out; `homes.json` may hold
thousands of addresses and is written when something new is learnt, before it is moved for the first
time. Both are replaced atomically, so a kill at any moment leaves the old or the new one. The run
directory is on a tmpfs: a reboot forgets, as it does on Solaris (ipmp-semantics 1.1).
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TypeVar

import msgspec

from ipmp.homes import Homes
from ipmp.model import HoldIntent, OfflineIntent


class SavedSysctl(msgspec.Struct, frozen=True):
    """A value that we changed, to be put back when the group is dissolved."""

    name: str
    interface: str
    value: int


class Intent(msgspec.Struct):
    """What operators and programs asked for, and what must be put back."""

    offline: dict[str, OfflineIntent] = {}
    holds: dict[str, HoldIntent] = {}
    inactive: list[str] = []  # members kept back by FAILBACK=no or as spares
    failed: list[str] = []  # members that had lost their probes
    sysctls: list[SavedSysctl] = []
    paused: HoldIntent | None = None
    clean: bool = True  # False while a daemon runs: a restart then announces everything anew


class LockedError(Exception):
    """Another daemon has this run directory; the text names its process."""


class UnreadableError(Exception):
    """A file of the run directory cannot be read; the text says which and what to do."""


T = TypeVar("T")


class IntentStore:
    """The two files and the lock. Raises OSError when the run directory is not writable."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        run_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._lock = _lock(run_dir / "mpathd.pid")

    def close(self) -> None:
        """Release the lock."""
        os.close(self._lock)

    def load_intent(self) -> Intent:
        """Read the intent; a missing file is an empty one."""
        return self._load("intent.json", Intent)

    def save_intent(self, intent: Intent) -> None:
        """Replace the intent file, durably."""
        self._save("intent.json", intent, durable=True)

    def load_homes(self) -> dict[str, Homes]:
        """Read the homes of each group."""
        return self._load("homes.json", dict[str, Homes])

    def save_homes(self, homes: dict[str, Homes]) -> None:
        """Replace the homes file."""
        self._save("homes.json", homes, durable=False)

    def _load(self, name: str, kind: type[T]) -> T:
        path = self._run_dir / name
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except FileNotFoundError:
            return kind()
        except msgspec.MsgspecError as error:
            raise UnreadableError(
                f"{path} is damaged ({error}); move it away and start mpathd again"
            ) from error

    def _save(self, name: str, value: object, *, durable: bool) -> None:
        path = self._run_dir / name
        temporary = path.with_suffix(".new")
        with temporary.open("wb") as file:
            file.write(msgspec.json.encode(value))
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)


def _lock(path: Path) -> int:
    """Take the lock and leave our pid in it; flock goes with the process, however it dies."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise LockedError(
            f"another mpathd (pid {owner}) is already active in {path.parent}"
        ) from None
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
