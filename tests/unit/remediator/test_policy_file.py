"""The policy file: every mistake is one sentence with file and key, and all come at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipmp_remediator.access_config import SIGNATURE_KEYS, TLS_KEYS
from ipmp_remediator.config import (
    LIMIT_KEYS,
    PAUSE_KEYS,
    POLICY_KEYS,
    TOP_KEYS,
    WINDOW_KEYS,
    load,
)
from ipmp_remediator.policy import Authentication, Wish
from ipmp_remediator.reader import ConfigError

GOOD = """
token_file = "token"
[[policy]]
name = "drain"
match = { remediation = "drain", severity = { regex = "warning|critical" } }
action = "offline"
[allow]
ipmp0 = ["ni0", "ni1"]
"""

# (what to replace, by what, the key that the error names)
MISTAKES: dict[str, tuple[str, str, str]] = {
    "unknown key": ('token_file = "token"', 'token_file = "token"\nfoo = 1', "foo"),
    "unknown policy key": ('action = "offline"', 'action = "offline"\nfoo = 1', "policy[1].foo"),
    "token_file of a wrong type": ('"token"', "7", "token_file"),
    "token_file empty": ('"token"', '""', "token_file"),
    "token_file missing": ('token_file = "token"', "", "token_file"),
    "authentication unknown": ('token_file = "token"', 'authentication = "no"', "authentication"),
    "authentication none and a token": (
        'token_file = "token"',
        'token_file = "token"\nauthentication = "none"',
        "authentication",
    ),
    "dry_run is text": ('token_file = "token"', 'token_file="t"\ndry_run = "no"', "dry_run"),
    "age without unit": ('token_file = "token"', 'token_file="t"\nmax_alert_age = 5', "max_alert"),
    "age of a bad unit": (
        'token_file = "token"',
        'token_file="t"\nmax_alert_age = "5w"',
        "max_alert_age",
    ),
    "age zero": ('token_file = "token"', 'token_file="t"\nmax_alert_age = "0s"', "max_alert_age"),
    "hold_down negative": (
        'token_file = "token"',
        'token_file="t"\nhold_down = "-5s"',
        "hold_down",
    ),
    "max_pending zero": ('token_file = "token"', 'token_file="t"\nmax_pending = 0', "max_pending"),
    "max_pending true": ('token_file = "token"', 'token_file="t"\nmax_pending = true', "max_pend"),
    "policy is no list": ("[[policy]]", "[policy]", "policy"),
    "no name": ('name = "drain"', "", "policy[1].name"),
    "name is a number": ('name = "drain"', "name = 4", "policy[1].name"),
    "no action": ('action = "offline"', "", "policy[1].action"),
    "unknown action": ('"offline"', '"reboot"', "policy[1].action"),
    "match missing": ("match =", "interface_label = 'match' #", "policy[1].match"),
    "match empty": (
        'match = { remediation = "drain", severity = { regex = "warning|critical" } }',
        "match = {}",
        "policy[1].match",
    ),
    "matcher is a list": (
        'remediation = "drain"',
        'remediation = ["a"]',
        "policy[1].match.remediation",
    ),
    "matcher of an unknown kind": ("regex =", "glob =", "policy[1].match.severity"),
    "bad regex": ("warning|critical", "(", "policy[1].match.severity.regex"),
    "bad label name": ('remediation = "drain"', '"a-b" = "x"', "policy[1].match.a-b"),
    "bad group label": (
        'action = "offline"',
        'action = "offline"\ngroup_label = "a b"',
        "policy[1].group_label",
    ),
    "allow is a list": ("[allow]\nipmp0 =", "[[allow]]\nipmp0 =", "allow"),
    "allow of a string": ('["ni0", "ni1"]', '"ni0"', "allow.ipmp0"),
    "allow of nothing": ('["ni0", "ni1"]', "[]", "allow.ipmp0"),
    "allow of a number": ('["ni0", "ni1"]', "[1]", "allow.ipmp0"),
    "interface name with a slash": ('"ni1"', '"../x"', "allow.ipmp0"),
    "interface name too long": ('"ni1"', '"abcdefghijklmnop"', "allow.ipmp0"),
    "interface twice": ('"ni1"', '"ni0"', "allow.ipmp0"),
    "no TOML": ("[allow]", "[allow", ""),
}


@pytest.mark.parametrize(("old", "new", "key"), MISTAKES.values(), ids=MISTAKES.keys())
def test_each_mistake_is_one_sentence(tmp_path: Path, old: str, new: str, key: str) -> None:
    assert old in GOOD
    path = tmp_path / "remediator.toml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as raised:
        load(path)
    [sentence] = raised.value.errors
    assert sentence.startswith(f"{path}: {key}")
    assert "\n" not in sentence


def test_what_the_file_contains_breaks_no_line_of_an_error(tmp_path: Path) -> None:
    path = tmp_path / "remediator.toml"
    path.write_text(
        GOOD.replace('"offline"', '"off\\nline\\u001b[2J"') + '"a\\nb" = ["ni0"]\n"c\\nd" = 1'
    )
    with pytest.raises(ConfigError) as raised:
        load(path)
    assert len(raised.value.errors) == 2
    assert all(sentence.isprintable() for sentence in raised.value.errors)


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    path = tmp_path / "remediator.toml"
    path.write_text(
        """
        dry_run = "x"
        hold_down = 3
        [[policy]]
        name = "a"
        action = "x"
        [[policy]]
        name = "a"
        match = { a = 1, b = { regex = "[" } }
        action = "offline"
        [allow]
        g = []
        """
    )
    with pytest.raises(ConfigError) as raised:
        load(path)
    keys = [sentence.removeprefix(f"{path}: ").split()[0] for sentence in raised.value.errors]
    assert sorted(keys) == sorted(
        [
            "token_file",
            "dry_run",
            "hold_down",
            "policy[1].action",
            "policy[1].match",
            "policy[2].match.a",
            "policy[2].match.b.regex",
            "policy[2].name",
            "allow.g",
        ]
    )


@pytest.mark.checklist("7.1", 27)
def test_defaults_are_the_careful_ones(tmp_path: Path) -> None:
    path = tmp_path / "remediator.toml"
    path.write_text(GOOD)
    config = load(path)
    assert config.dry_run
    assert config.max_alert_age == 3600
    assert config.token_file == tmp_path / "token"
    assert config.authentication is Authentication.REQUIRED
    assert config.allow == {("ipmp0", "ni0"), ("ipmp0", "ni1")}


def test_matching_is_whole_exact_and_first_wins(tmp_path: Path) -> None:
    path = tmp_path / "remediator.toml"
    path.write_text(
        GOOD
        + """
[[policy]]
name = "second"
match = { remediation = "a.c" }
action = "offline"
"""
    )
    config = load(path)
    cases = {
        ("drain", "warning"): "drain",
        ("drain", "warning "): None,
        ("drain", "xcritical"): None,
        ("drains", "warning"): None,
        ("a.c", ""): "second",
        ("abc", ""): None,
    }
    for (remediation, severity), name in cases.items():
        policy = config.policy_for({"remediation": remediation, "severity": severity}, {})
        assert (policy.name if policy else None) == name


def test_the_example_is_valid_and_documents_every_key(tmp_path: Path) -> None:
    example = Path(__file__).parents[3] / "remediator" / "remediator.toml.example"
    config = load(example)
    assert config.dry_run
    assert {policy.action for policy in config.policies} == set(Wish)
    text = example.read_text()
    for key in (
        *(*TOP_KEYS, *POLICY_KEYS, *LIMIT_KEYS, *WINDOW_KEYS, *PAUSE_KEYS),
        *(*SIGNATURE_KEYS, *TLS_KEYS),
    ):
        assert key in text, key
