"""Where the programs are that the lab, the demo and the tests run but do not bring along."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# Where `make` unpacks what the machine lacks; present only in a checkout.
_CHECKOUT_TOOLS = Path(__file__).resolve().parents[3] / ".tools"

# Names that Debian gives to programs that the rest of the world calls otherwise.
_ALSO_CALLED = {"alertmanager": "prometheus-alertmanager"}


def find(name: str) -> Path | None:
    """Return the program `name` from the PATH, the system's sbin directories or `.tools/bin`."""
    search = os.pathsep.join(
        (os.environ.get("PATH", ""), "/usr/sbin", "/sbin", str(_CHECKOUT_TOOLS / "bin"))
    )
    for called in (name, _ALSO_CALLED.get(name)):
        if called and (found := shutil.which(called, path=search)):
            return Path(found)
    return None


def unpacked_share(name: str) -> Path | None:
    """Return the unpacked `/usr/share` that holds the data of package `name`, if it is needed.

    Debian's Prometheus and Alertmanager read their web pages from fixed places under `/usr/share`;
    when the packages are only unpacked, those places exist in the unpacked tree alone.
    """
    share = _CHECKOUT_TOOLS / "root" / "usr" / "share"
    if (share / name).is_dir() and not Path("/usr/share", name).exists():
        return share
    return None
