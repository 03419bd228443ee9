"""The manual pages say everything that the programs take, and nothing else; and they are clean."""

from __future__ import annotations

import argparse
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipmp.cli import if_mpadm, ipmp, ipmpstat, mpathd
from ipmp.config import Announce, DeclaredAddress, GroupConfig, Probe
from ipmp.config.document import MEMBER_KEYS, SETTING_KEYS
from ipmp.config.mpathd import NAMES
from ipmp.config.schema import OUTBOUNDS, PROBE_METHODS, SYSCTLS
from ipmp_remediator import main as remediator
from tests.support.tools import need

ROOT = Path(__file__).parents[2]
MAN = ROOT / "man"
PAGES = sorted(MAN.iterdir())

#: What every argparse parser has, and one page says for all.
HELP = {"-h", "--help"}

_OPTION = re.compile(r"(?<=Fl )[-\w.]+(?: \| \w)*")


def lines(name: str) -> list[str]:
    return (MAN / name).read_text().splitlines()


def options_in(text: list[str]) -> set[str]:
    """Options that lines of a page mark as such: `.Fl a | g` is two."""
    marked = (word for line in text for found in _OPTION.findall(line) for word in found.split())
    return {f"-{word}" for word in marked if word != "|"}


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    return {name for action in parser._actions for name in action.option_strings} - HELP


def entries(name: str, macro: str) -> list[str]:
    """What the items of a page's lists are about: `.It Fl -config Ar file`."""
    return [line.split()[2] for line in lines(name) if line.startswith(f".It {macro} ")]


def commands(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, set[str]]]:
    """Every command of `ipmp` with its options; faults of the lab are described together."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) and name != "lab fault":
            for word, sub in action.choices.items():
                full = f"{name} {word}".strip()
                inherited = {"--dir"} if name == "lab" else set()
                yield full, options_of(sub) - inherited
                yield from commands(sub, full)


COMMANDS = dict(commands(ipmp._parser([])))


def section(name: str, title: str) -> list[str]:
    """The lines of one subsection."""
    text = lines(name)
    start = text.index(f".Ss {title}") + 1
    ends = (i for i in range(start, len(text)) if text[i].startswith((".Ss ", ".Sh ")))
    return text[start : next(ends)]


def test_every_command_of_ipmp_has_a_section_and_no_other_has() -> None:
    titles = [line.removeprefix(".Ss ") for line in lines("ipmp.8") if line.startswith(".Ss ")]
    assert titles == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_of_ipmp(command: str) -> None:
    text = section("ipmp.8", command)
    synopsis = text[: text.index(".Pp")]
    described = [line for line in text if line.startswith(".It Fl ")]
    assert options_in(synopsis) == COMMANDS[command]
    assert options_in(described) == COMMANDS[command]
    assert described == sorted(described), "options are in order"


def test_options_before_the_command_of_ipmp() -> None:
    text = lines("ipmp.8")
    general = text[: text.index(".Sh COMMANDS")]
    assert options_in(line for line in general if line.startswith(".It")) == options_of(
        ipmp._parser([])
    )


@pytest.mark.parametrize(
    ("page", "parser"),
    [("mpathd.8", mpathd._parser()), ("ipmp_remediator.8", remediator._parser())],
    ids=["mpathd", "ipmp_remediator"],
)
def test_every_option_of_the_daemons(page: str, parser: argparse.ArgumentParser) -> None:
    told = options_of(parser)
    text = lines(page)
    assert options_in(text[: text.index(".Sh DESCRIPTION")]) == told
    assert {f"-{name}" for name in entries(page, "Fl")} == told


@pytest.mark.parametrize("module", [if_mpadm, ipmpstat], ids=["if_mpadm", "ipmpstat"])
def test_every_option_of_the_commands_of_solaris(module) -> None:  # type: ignore[no-untyped-def]
    page = f"{module.__name__.rpartition('.')[2]}.8"
    told = {f"-{letter}" for letter in module.SHORT.replace(":", "")}
    told |= {f"--{name.rstrip('=')}" for name in module.LONG}
    text = lines(page)
    assert options_in(text[: text.index(".Sh DESCRIPTION")]) == told
    assert {f"-{name}" for name in entries(page, "Fl")} == told


def test_every_column_of_ipmpstat() -> None:
    text = " ".join(lines("ipmpstat.8"))
    for mode, columns in ipmpstat.MODES.items():
        if mode != "-p":
            assert all(column.name in text for column in columns), mode


def keys() -> set[str]:
    """Every key of ipmp.toml; those of a table within a group with its name."""
    nested = {"announce": Announce, "probe": Probe}
    plain = {key for key in (*MEMBER_KEYS, *SETTING_KEYS) if key not in nested}
    return plain | {
        f"{table}.{key}" for table, kind in nested.items() for key in kind.__struct_fields__
    }


def test_every_key_of_the_configuration() -> None:
    assert set(MEMBER_KEYS + SETTING_KEYS) == set(GroupConfig.__struct_fields__) - {"name"}
    told = entries("ipmp.toml.5", "Va")
    assert len(told) == len(set(told))
    assert set(told) == keys()
    text = lines("ipmp.toml.5")
    assert all(f".Va {key}" in text or f".Va {key} ," in text for key in DECLARED)


DECLARED = DeclaredAddress.__struct_fields__


@pytest.mark.parametrize(
    ("key", "words"),
    [("outbound", OUTBOUNDS), ("sysctls", SYSCTLS), ("probe.method", PROBE_METHODS)],
)
def test_every_choice_of_a_key(key: str, words: tuple[str, ...]) -> None:
    text = lines("ipmp.toml.5")
    start = text.index(f".It Va {key}") + 1
    rest = text[start:]
    entry = rest[: next(i for i, ln in enumerate(rest) if ln.startswith((".It", ".El")))]
    told = re.findall(r"\\\(dq(\w+)\\\(dq", " ".join(entry))
    assert set(told) == set(words)


def test_the_example_of_the_configuration_is_valid() -> None:
    text = lines("ipmp.toml.5")
    start = text.index(".Bd -literal") + 1
    document = tomllib.loads("\n".join(text[start : text.index(".Ed")]))
    assert set(document["groups"]["ipmp0"]) <= {key.partition(".")[0] for key in keys()}


def test_every_name_of_etc_default_mpathd() -> None:
    assert sorted(NAMES) == entries("mpathd.8", "Va")


@pytest.mark.tools
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mandoc_finds_nothing(page: Path) -> None:
    done = subprocess.run(
        (need("mandoc"), "-T", "lint", "-W", "style", page), capture_output=True, text=True
    )
    found = [line for line in done.stdout.splitlines() if line.startswith("mandoc: ")]
    # Whether other pages are installed depends on the machine.
    ours = [line for line in found if "referenced manual not found" not in line]
    assert [line for line in ours if "outdated mandoc.db" not in line] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_references_between_our_pages_lead_somewhere(page: Path) -> None:
    ours = {p.name for p in PAGES}
    for name, number in re.findall(r"\bXr (\S+) (\d)", page.read_text()):
        if name.startswith(("ipmp", "if_mpadm", "mpathd")):
            assert f"{name}.{number}" in ours


def test_every_page_is_installed_with_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    pages = {source: target for source, target in shared.items() if source.startswith("man/")}
    assert pages == {
        f"man/{page.name}": f"share/man/man{page.suffix[1:]}/{page.name}" for page in PAGES
    }
    scripts = project["project"]["scripts"]
    assert {p.stem for p in PAGES if p.suffix == ".8"} <= set(scripts)
