"""The two socket files: who may connect, when, and what happens to what is there already."""

import grp
import os
import socket
import stat

import pytest
import structlog

from ipmp.api import Server
from tests.support.api import running_api


@pytest.fixture
async def api(tmp_path):
    async with running_api(tmp_path, keep_alive=0.05, patience=0.5) as api:
        yield api


def mode_of(path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


@pytest.fixture
def groups(monkeypatch):
    """Groups that exist, by name; all others do not."""
    known: dict[str, int] = {}

    def getgrnam(name: str) -> grp.struct_group:
        return grp.struct_group((name, "x", known[name], []))

    monkeypatch.setattr("ipmp.api.sockets.grp.getgrnam", getgrnam)
    return known


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
async def test_permissions_without_the_groups(tmp_path, groups, umask):
    before = os.umask(umask)
    try:
        async with running_api(tmp_path) as api:
            assert mode_of(api.run_dir) == "0o755"
            assert mode_of(api.run_dir / "status.sock") == "0o666"
            assert mode_of(api.run_dir / "control.sock") == "0o600"
    finally:
        os.umask(before)


async def test_permissions_with_the_groups(tmp_path, groups):
    gid = os.getgid()
    groups.update({"ipmp": gid, "ipmp-admin": gid})
    async with running_api(tmp_path) as api:
        for name in ("status.sock", "control.sock"):
            assert mode_of(api.run_dir / name) == "0o660"
            assert (api.run_dir / name).stat().st_gid == gid


async def test_a_group_that_cannot_be_given_leaves_the_owner_alone(tmp_path, groups, monkeypatch):
    def chown(*_):
        raise PermissionError(1, "Operation not permitted")

    groups.update({"ipmp": 1, "ipmp-admin": 1})
    monkeypatch.setattr("ipmp.api.sockets.os.chown", chown)
    with structlog.testing.capture_logs() as logged:
        async with running_api(tmp_path) as api:
            assert mode_of(api.run_dir / "status.sock") == "0o600"
            assert mode_of(api.run_dir / "control.sock") == "0o600"
    assert len(logged) == 2


async def test_nobody_can_connect_before_the_permissions_are_set(tmp_path, monkeypatch):
    refused_before: list[str] = []
    real = os.chmod

    def chmod(path, mode, **options):
        if str(path).endswith(".sock"):
            with socket.socket(socket.AF_UNIX) as early, pytest.raises(ConnectionRefusedError):
                early.connect(str(path))
            refused_before.append(path.name)
        real(path, mode, **options)

    monkeypatch.setattr("pathlib.os.chmod", chmod)
    async with running_api(tmp_path):
        pass
    assert refused_before == ["status.sock", "control.sock"]


async def test_files_of_a_dead_daemon_are_replaced_and_ours_are_removed(tmp_path):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    for name in ("status.sock", "control.sock"):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(run_dir / name))
    async with running_api(tmp_path) as api:
        assert (await api.read.get("/v1/status")).status == 200
    assert list(run_dir.iterdir()) == []


async def test_a_living_daemon_is_left_alone(api):
    other = Server(api.controller, api.run_dir)
    with pytest.raises(OSError, match="another mpathd listens here") as caught:
        await other.start()
    assert caught.value.filename == str(api.run_dir / "status.sock")
    assert (await api.read.get("/v1/status")).status == 200
    assert (await api.control.get("/v1/status")).status == 200


async def test_what_is_no_socket_is_not_removed(tmp_path):
    (tmp_path / "run").mkdir()
    file = tmp_path / "run" / "control.sock"
    file.write_text("precious")
    with pytest.raises(FileExistsError, match="a file that is no socket is in the way"):
        async with running_api(tmp_path):
            pass
    assert file.read_text() == "precious"
    assert not (tmp_path / "run" / "status.sock").exists()


async def test_a_run_directory_with_too_long_a_name(tmp_path):
    with pytest.raises(OSError, match="choose a shorter --run-dir"):
        async with running_api(tmp_path / ("x" * 100)):
            pass


async def test_garbage_on_the_socket_does_no_harm(api):
    for garbage in (b"\x00\xff" * 100, b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"x" * 100_000):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(api.run_dir / "control.sock"))
            client.sendall(garbage)
    assert (await api.control.get("/v1/status")).status == 200
    assert api.controller.calls == []
