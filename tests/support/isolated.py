"""A process and a network of its own for each test: forked, unshared, its reports sent back.

Makes namespaces as cheap as fixtures (7 ms), needs no root, and leaves nothing behind: the network
ends with its process. The test must not rely on fixtures of a wider scope than its own.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import pickle
import socket
import struct
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, cast

import pytest
from _pytest.runner import runtestprotocol

from ipmp.lab import LabError
from ipmp.lab.namespaces import unshare_command

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1

_libc = ctypes.CDLL(None, use_errno=True)


def possible() -> bool:
    """Whether this machine lets us have network namespaces."""
    try:
        return bool(unshare_command())
    except LabError:
        return False


def run(item: pytest.Item, nextitem: pytest.Item | None) -> Sequence[pytest.TestReport]:
    """Run one test in a child that has moved into new namespaces; return pytest's reports of it.

    What tests before it have set up in this process is torn down unless `nextitem` needs it.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _run_in_child(item, writing)
    os.close(writing)
    with open(reading, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    item.session._setupstate.teardown_exact(nextitem)
    if status:
        return [_died(item, os.waitstatus_to_exitcode(status))]
    load = item.config.hook.pytest_report_from_serializable
    return [load(config=item.config, data=report) for report in pickle.loads(data)]


def _run_in_child(item: pytest.Item, writing: int) -> NoReturn:
    """Never comes back into the parent's pytest, whatever happens."""
    status = 1
    try:
        _unshare()
        dump = item.config.hook.pytest_report_to_serializable
        # Fixtures of a wider scope are the parent's: what they have started must not be stopped.
        reports = runtestprotocol(item, log=False, nextitem=cast(pytest.Item, item.parent))
        data = pickle.dumps([dump(config=item.config, report=report) for report in reports])
        with open(writing, "wb") as pipe:
            pipe.write(data)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _unshare() -> None:
    """Leave for a new network, as root of a new user namespace where the lab does so, too."""
    rootless = "--user" in unshare_command()
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(CLONE_NEWNET | (CLONE_NEWUSER if rootless else 0)) != 0:
        raise OSError(ctypes.get_errno(), "cannot have a network namespace")
    if rootless:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    with socket.socket() as any_socket:  # programs that the test runs talk over loopback
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))


def _died(item: pytest.Item, status: int) -> pytest.TestReport:
    def fail() -> None:
        pytest.fail(f"the process of this test ended with status {status}", pytrace=False)

    call = pytest.CallInfo.from_call(fail, when="call")
    report: pytest.TestReport = item.ihook.pytest_runtest_makereport(item=item, call=call)
    return report
