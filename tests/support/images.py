"""Sample hosts: a golden file lists a host's files, then what `ipmp check` says of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

GOLDEN = Path(__file__).parents[1] / "golden" / "preflight"

_BLOCK = re.compile(r"^== (\S+)(?: -> (\S+))?\n((?:(?!== ).*\n)*)", re.MULTILINE)


class Sample(NamedTuple):
    """A sample host."""

    files: dict[str, str]
    links: dict[str, str]
    output: str  # of `ipmp check --root`, then "=> STATUS"

    def build(self, directory: Path) -> Path:
        """Write the host's files below a directory and return that."""
        for path, text in self.files.items():
            target = directory / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.startswith("/proc/"):
                text = text.rstrip("\n").replace(" ", "\0") + "\0"
            target.write_text(text)
        for path, destination in self.links.items():
            target = directory / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(destination)
        return directory


def samples() -> list[str]:
    """Return the names of all sample hosts."""
    return sorted(path.stem for path in GOLDEN.glob("*.txt"))


def sample(name: str) -> Sample:
    """Read a sample host."""
    files, links, output = {}, {}, ""
    for path, destination, text in _BLOCK.findall((GOLDEN / f"{name}.txt").read_text()):
        if path == "ipmp-check":
            output = text
        elif destination:
            links[path] = destination
        else:
            files[path] = text
    return Sample(files, links, output)
