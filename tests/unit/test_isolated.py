"""tests/support/isolated.py: a test in a child is told like any other, and sees a new network."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.lab import need_namespaces

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.netns

ROOT = Path(__file__).resolve().parents[2]
CONFTEST = """
from tests.support import isolated

def pytest_runtest_protocol(item, nextitem):
    if "isolated" not in item.name:
        return None
    for report in isolated.run(item, nextitem):
        item.ihook.pytest_runtest_logreport(report=report)
    return True
"""
TESTS = """
import os, socket, subprocess
import pytest

PARENT = os.getpid()

@pytest.fixture(scope="module")
def shared():
    yield os.getpid()

@pytest.fixture(scope="session")
def program():
    with subprocess.Popen(["sleep", "100"]) as sleeping:
        yield sleeping
        sleeping.kill()

def test_first(shared, program):
    assert shared == PARENT

def test_isolated_network(shared):
    assert os.getpid() != PARENT
    assert [name for _, name in socket.if_nameindex()] == ["lo"]
    assert os.getuid() == 0
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()

def test_isolated_failure():
    assert [1, 2] == [1, 3], "what pytest says of it"

def test_isolated_skip():
    pytest.skip("told why")

def test_isolated_death():
    os.kill(os.getpid(), 9)

def test_what_the_parent_has_started_lives_on(program):
    assert program.poll() is None
"""
OTHER = """
def test_last():
    pass
"""


def test_reports_come_back_from_the_child(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_namespaces()
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_one=TESTS, test_other=OTHER)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rs", "-vv")
    result.assert_outcomes(passed=4, failed=2, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*what pytest says of it*",
            "*the process of this test ended with status -9*",
            "*SKIPPED*told why*",
        ]
    )
