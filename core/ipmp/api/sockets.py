"""The two sockets: who may connect, and who has connected."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import grp
import os
import pwd
import socket
import stat
import struct
from pathlib import Path
from typing import NamedTuple

import structlog
from aiohttp import web

BACKLOG = 128
NAME_TIMEOUT = 1.0  # seconds; a directory server may be out of reach just when we are needed

_UCRED = struct.Struct("iII")  # struct ucred, socket(7): pid, uid, gid

_log = structlog.get_logger("ipmp.api")


class Access(NamedTuple):
    """Who may connect to a socket besides its owner."""

    name: str
    group: str
    mode_with_group: int
    mode_without_group: int


STATUS = Access("status.sock", "ipmp", 0o660, 0o666)
CONTROL = Access("control.sock", "ipmp-admin", 0o660, 0o600)


def listen(run_dir: Path, access: Access) -> socket.socket:
    """Return a listening socket in `run_dir` to which only those of `access` can connect.

    A file left over by a daemon that died is replaced. Raises OSError, whose text says what to do
    when another program listens there.
    """
    path = run_dir / access.name
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        _bind(listener, path)
        _restrict(path, access)
        # Nobody can connect before this, so there is no moment of wider permissions.
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, "a file that is no socket is in the way", str(path))
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # BlockingIOError: its backlog is full, so somebody has it
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, "another mpathd listens here; stop it first", str(path))


def _bind(listener: socket.socket, path: Path) -> None:
    try:
        listener.bind(str(path))
    except OSError as error:
        if error.errno is None:  # Python's own check of sun_path
            too_long = "the path is too long for a socket; choose a shorter --run-dir"
            raise OSError(errno.ENAMETOOLONG, too_long, str(path)) from None
        raise OSError(error.errno, error.strerror, str(path)) from None


def _restrict(path: Path, access: Access) -> None:
    """Set group and mode; the owner alone when the group cannot be given."""
    mode = access.mode_without_group
    try:
        group = grp.getgrnam(access.group)
    except KeyError:
        pass
    else:
        try:
            os.chown(path, -1, group.gr_gid)
            mode = access.mode_with_group
        except OSError as error:
            mode = 0o600
            _log.warning(
                f"cannot give {path} to group {access.group} ({error.strerror}); "
                "only its owner can use it"
            )
    path.chmod(mode)


class Actors:
    """Tells who is at the other end of a connection, for the history."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    async def of(self, request: web.Request, program: str) -> str:
        """Return for example "if_mpadm by alice (uid 1000)"; the kernel vouches for the uid."""
        if request.transport is None:
            raise ConnectionResetError("the client has gone")
        peer = request.transport.get_extra_info("socket")
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        _, uid, _ = _UCRED.unpack(credentials)
        name = await self._name(uid)
        user = f"{name} (uid {uid})" if name else f"uid {uid}"
        return f"{program} by {user}" if program else user

    async def _name(self, uid: int) -> str:
        if uid not in self._names:
            # The name service may ask over the network: neither block nor wait for long.
            with contextlib.suppress(KeyError, TimeoutError):
                async with asyncio.timeout(NAME_TIMEOUT):
                    self._names[uid] = (await asyncio.to_thread(pwd.getpwuid, uid)).pw_name
        return self._names.get(uid, "")
