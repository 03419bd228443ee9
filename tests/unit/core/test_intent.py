"""The files of the run directory: what survives, what a crash may leave, and the only daemon."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmp.homes import Homes
from ipmp.intent import Intent, IntentStore, LockedError, SavedSysctl, UnreadableError
from ipmp.model import HoldIntent, OfflineIntent
from ipmp.world import DataRoute
from tests.support.wait import patience
from tests.support.world import data_address, route

INTENT = Intent(
    offline={"ni0": OfflineIntent("switch A is replaced", "root (uid 0)", 1000.0, "r1")},
    holds={"ni1": HoldIntent("watch it", "root (uid 0)", 1001.0)},
    inactive=["ni2"],
    sysctls=[SavedSysctl("arp_ignore", "ni0", 0)],
    paused=HoldIntent("maintenance", "root (uid 0)", 1002.0),
    clean=False,
)
DAEMON = """\
import sys
from pathlib import Path
from ipmp.intent import IntentStore
store = IntentStore(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def test_nothing_saved_is_nothing_asked_for(tmp_path: Path) -> None:
    store = IntentStore(tmp_path / "run")
    assert store.load_intent() == Intent()
    assert store.load_homes() == {}


def test_intent_survives_a_restart_whole(tmp_path: Path) -> None:
    store = IntentStore(tmp_path)
    store.save_intent(INTENT)
    store.close()
    assert IntentStore(tmp_path).load_intent() == INTENT


@given(
    payload=st.binary(max_size=64),
    home=st.none() | st.sampled_from(["ni0", "ni1"]),
    source=st.none() | st.just("192.0.2.1"),
)
def test_homes_survive_a_restart_to_the_byte(
    tmp_path_factory: pytest.TempPathFactory, payload: bytes, home: str | None, source: str | None
) -> None:
    store = IntentStore(tmp_path_factory.mktemp("run"))
    address = data_address("192.0.2.1/24", 7, home)
    default = route("default", "a", "192.0.2.254", source=source, more=repr(payload))
    homes = {"g": Homes({address.key: address}, (DataRoute(default, "g"),)), "h": Homes()}
    store.save_homes(homes)
    assert store.load_homes() == homes
    store.close()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"offline": 3}', '{"clean": "yes"}', "\xff"])
def test_a_damaged_file_is_named_and_not_taken_for_an_empty_one(
    tmp_path: Path, content: str
) -> None:
    store = IntentStore(tmp_path)
    for name, load in (("intent.json", store.load_intent), ("homes.json", store.load_homes)):
        (tmp_path / name).write_bytes(content.encode("latin-1"))
        with pytest.raises(UnreadableError) as error:
            load()
        assert str(tmp_path / name) in str(error.value)
        assert "move it away" in str(error.value)


def test_a_crash_while_saving_leaves_the_old_intent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = IntentStore(tmp_path)
    store.save_intent(INTENT)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        store.save_intent(Intent())
    assert store.load_intent() == INTENT
    monkeypatch.undo()
    store.save_intent(Intent())
    assert store.load_intent() == Intent()


def test_a_second_daemon_is_told_who_has_the_directory(tmp_path: Path) -> None:
    with _daemon(tmp_path) as first:
        with pytest.raises(LockedError) as error:
            IntentStore(tmp_path)
        assert str(error.value) == (
            f"another mpathd (pid {first.pid}) is already active in {tmp_path}"
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_lock_goes_with_the_daemon_however_it_dies(tmp_path: Path, number: int) -> None:
    with _daemon(tmp_path) as first:
        first.send_signal(number)
        first.wait(patience(10))
    store = IntentStore(tmp_path)
    store.close()
    IntentStore(tmp_path).close()


def _daemon(run_dir: Path) -> subprocess.Popen[str]:
    """A process that has the lock until its standard input is closed."""
    command = (sys.executable, "-c", DAEMON, str(run_dir))
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process
