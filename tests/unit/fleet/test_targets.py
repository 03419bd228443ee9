"""Where a host's remediator is."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipmp_remediator.route.targets import FileTargets, TargetsError, TemplateTargets, host_of


@pytest.mark.parametrize(
    ("label", "host"),
    [
        ("db7.example:10088", "db7.example"),
        ("DB7", "db7"),
        ("10.0.0.7:10088", "10.0.0.7"),
        ("[fd00::7]:10088", "fd00::7"),
        ("fd00::7", "fd00::7"),
        ("", None),
        ("a b", None),
        ("evil.example/x", None),
        ("user@evil.example", None),
        ("db7.example\n", None),
        ("-x", None),
    ],
)
def test_host_of_a_label(label: str, host: str | None) -> None:
    assert host_of(label) == host


def test_a_template_takes_only_hosts_that_match() -> None:
    targets = TemplateTargets("https://{host}:10089/alerts", r"[a-z0-9-]+\.example|fd00::\d")
    assert targets.url("db7.example") == "https://db7.example:10089/alerts"
    assert targets.url("fd00::7") == "https://[fd00::7]:10089/alerts"
    assert targets.url("db7.example.evil") is None


@pytest.mark.parametrize("suffix", ["json", "yml"])
def test_targets_by_their_address_or_by_the_label(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"targets.{suffix}"
    file.write_text(
        '[{"targets": ["db1.example:10089", "[fd00::2]:10089"]},'
        ' {"targets": ["10.0.0.3:10089"], "labels": {"instance": "db3:9100", "rack": "r1"}}]'
    )
    targets = FileTargets(file, "instance", "/alerts")
    assert targets.url("db1.example") == "https://db1.example:10089/alerts"
    assert targets.url("fd00::2") == "https://[fd00::2]:10089/alerts"
    assert targets.url("db3") == "https://10.0.0.3:10089/alerts"
    assert targets.url("10.0.0.3") is None


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '[{"targets": "db1"}]',
        '[{"targets": ["db1/x:1"]}]',
        '[{"targets": ["db1:1"], "labels": {"instance": "a b"}}]',
        '[{"targets": ["db1:1", "db2:1"], "labels": {"instance": "db1"}}]',
        "[" * 100_000,
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(TargetsError):
        FileTargets(tmp_path / "t.json", "instance", "/alerts")
