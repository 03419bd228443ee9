"""Namespaces: may we have them, how a lab gets its own, how a command gets into one of its nodes.

A lab is one process (the keeper) that is pid 1 of a pid namespace, with its own user, mount and
network namespaces. When it dies, the kernel ends every process of the lab and frees its network:
there is nothing to clean up, whatever killed it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

_TOOLS = ("unshare", "nsenter", "ip")
_SYSCTLS = {  # those that forbid unprivileged user namespaces, with the value that does
    "kernel/unprivileged_userns_clone": "0",
    "kernel/apparmor_restrict_unprivileged_userns": "1",
    "user/max_user_namespaces": "0",
}


class LabError(Exception):
    """Something that the user can put right; the text is one sentence that says how."""


@cache
def unshare_command() -> tuple[str, ...]:
    """Return the command that puts a program into new namespaces of its own, as their root.

    A user namespace is preferred even for root: in it, no mistake can reach the machine's own
    network. Raise `LabError` if this machine lets us have neither.
    """
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        raise LabError(
            f"the lab needs {', '.join(missing)}; on Debian: apt install util-linux iproute2"
        )
    fork = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child")
    rootless = (*fork, "--user", "--map-root-user")
    if _works(rootless):
        return rootless
    if os.geteuid() == 0 and _works(fork):
        return fork
    raise LabError(refusal(Path("/proc/sys")))


def refusal(proc_sys: Path) -> str:
    """Return the sentence that says why there can be no namespaces, judged from the sysctls."""
    for name, forbids in _SYSCTLS.items():
        try:
            value = (proc_sys / name).read_text().strip()
        except OSError:
            continue
        if value == forbids:
            allow = "15000" if name.startswith("user/") else str(1 - int(forbids))
            return (
                "unprivileged user namespaces are switched off here; run as root, or allow them:"
                f" sysctl -w {name.replace('/', '.')}={allow}"
            )
    return (
        "this system permits no network namespaces, neither unprivileged nor as root (a container"
        " needs --privileged, or --cap-add SYS_ADMIN with seccomp and AppArmor unconfined)"
    )


def enter_command(keeper: int, node: str, cwd: str) -> tuple[str, ...]:
    """Return the command that runs what follows it in `node` of the lab of pid `keeper`.

    Not `ip netns exec`: that mounts a new /sys, which a container may not; and the pid namespace
    must be entered too, so that the program ends with the lab.
    """
    return (
        "nsenter",
        f"--target={keeper}",
        # Our user is root in there already; to set that (and groups) a user may not.
        *(("--user", "--preserve-credentials") if "--user" in unshare_command() else ()),
        "--mount",
        "--pid",
        f"--net=/proc/{keeper}/root/run/netns/{node}",
        f"--wdns={cwd}",
        "--",
    )


def children(pid: int) -> list[int]:
    """Return the pids of the children of `pid` (of its main thread); [] if it is gone."""
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _works(command: Sequence[str]) -> bool:
    # Mounting /proc is what a container with a masked /proc refuses, so it is tried too.
    probe = (*command, "sh", "-c", "mount -t proc proc /proc && mount -t tmpfs tmpfs /run")
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0  # noqa: S603
