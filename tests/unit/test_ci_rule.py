"""The rule of conftest.py: in CI no test may skip itself, marked or not."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
TESTS = """
import pytest

@pytest.mark.netns
def test_marked():
    pytest.skip("no namespaces here")

def test_unmarked():
    pytest.skip("told why")

@pytest.mark.prometheus
@pytest.mark.xfail(reason="known")
def test_expected_to_fail():
    raise ValueError
"""


def play(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    pytester.makeconftest(CONFTEST.read_text())
    markers = "markers =\n    netns: x\n    prometheus: x\n"
    pytester.makeini(f"[pytest]\npythonpath = {CONFTEST.parents[1]}\n{markers}")
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


def test_elsewhere_a_skip_is_a_skip(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    pytester.makepyfile(TESTS)
    play(pytester).assert_outcomes(skipped=2, xfailed=1)


def test_in_ci_a_skip_is_a_failure(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "1")
    pytester.makepyfile(TESTS)
    result = play(pytester)
    result.assert_outcomes(failed=2, xfailed=1)
    for reason in ("no namespaces here", "told why"):
        result.stdout.fnmatch_lines([f"*skipped where it must run: *{reason}*"])


def test_in_ci_a_skipped_module_is_an_error(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "1")
    pytester.makepyfile("import pytest\npytest.skip('not here', allow_module_level=True)\n")
    result = play(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*skipped where it must run: *not here*"])
