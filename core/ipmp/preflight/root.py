"""Files and processes of the host that is looked at: this one, or an image below a directory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

READ_BYTES = 1 << 20  # of one file: configuration is smaller
SYMLINKS = 20  # followed before a loop is assumed


class Process(msgspec.Struct, frozen=True):
    """A running program."""

    pid: int
    argv: tuple[str, ...]

    @property
    def program(self) -> str:
        """Its name without directory; some overwrite argv with a title such as "dhcpcd: ni0"."""
        return self.argv[0].rpartition("/")[2].split(" ")[0].rstrip(":") if self.argv else ""


class Root:
    """All that the preflight reads. Paths are absolute, as they are called on that host."""

    def __init__(self, directory: Path = Path("/")) -> None:
        self.directory = directory
        #: An image has no processes: there, what is enabled at boot counts.
        self.is_live = directory == Path("/")
        self.unreadable: set[str] = set()  # what only root may read

    def text(self, path: str) -> str | None:
        """Return a file's text; None where it does not exist or may not be read."""
        found = self.place(path)
        if found is None:
            return None
        try:
            with found.open("rb") as file:
                return file.read(READ_BYTES).decode(errors="replace")
        except PermissionError:
            self.unreadable.add(path)
        except OSError:
            pass  # a directory, a process that has just ended
        return None

    def names(self, directory: str, pattern: str = "*") -> list[str]:
        """Return the names in a directory that match a pattern, sorted; [] where there is none."""
        found = self.place(directory)
        try:
            names = os.listdir(found) if found is not None else []
        except PermissionError:
            self.unreadable.add(directory)
            return []
        except OSError:
            return []
        return sorted(name for name in names if fnmatchcase(name, pattern))

    def layered(self, directories: Iterable[str], pattern: str) -> Iterator[tuple[str, str]]:
        """Yield path and text of files in order of their names, each from the first directory.

        That is how systemd, NetworkManager and netplan read: a name in an earlier directory hides
        the same name in later ones; an empty one, or a link to /dev/null, hides it altogether.
        """
        first: dict[str, str] = {}
        for directory in directories:
            for name in self.names(directory, pattern):
                first.setdefault(name, f"{directory}/{name}")
        for name in sorted(first):
            if text := self.text(first[name]):
                yield first[name], text

    def place(self, path: str) -> Path | None:
        """Return where a file really is; None in a loop of links.

        An absolute link in an image means a file of the image, not of this host.
        """
        if self.is_live:
            return Path(path)
        resolved = self.directory
        parts = list(reversed(path.split("/")))
        links = 0
        while parts:
            part = parts.pop()
            if part in ("", "."):
                continue
            if part == "..":
                resolved = resolved.parent if resolved != self.directory else resolved
                continue
            candidate = resolved / part
            if candidate.is_symlink():
                links += 1
                if links > SYMLINKS:
                    return None
                target = os.readlink(candidate)
                if target.startswith("/"):
                    resolved = self.directory
                parts.extend(reversed(target.split("/")))
            else:
                resolved = candidate
        return resolved

    def processes(self) -> list[Process]:
        """Return the programs that run, without threads of the kernel."""
        found = []
        for pid in filter(str.isdecimal, self.names("/proc")):
            argv = (self.text(f"/proc/{pid}/cmdline") or "").rstrip("\0").split("\0")
            if argv != [""]:
                found.append(Process(int(pid), tuple(argv)))
        return sorted(found, key=lambda process: process.pid)

    def is_active(self, service: str, processes: Iterable[Process]) -> bool:
        """Whether a service is at work here; in an image, whether it is started at boot."""
        if any(process.program == service for process in processes):
            return True
        if self.is_live:
            return False
        units = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
        return any(
            f"{service}.service" in self.names(f"{unit}/{target}")
            for unit in units
            for target in self.names(unit, "*.wants")
        )
