"""Pages say what the code says today: what is made from it, what they quote, name and link to."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipmp.cli import if_mpadm, ipmp, ipmpstat, mpathd
from ipmp.config import load
from ipmp.decision import _SENTENCES, Kind
from ipmp_exporter.flags import parser
from ipmp_fleetlock import main as fleetlock
from ipmp_remediator import main as remediator
from ipmp_remediator.route import main as route
from tests.support import pages
from tools.build_docs import DOCS, PAGES
from tools.conventions import CONVENTIONS, by_row

TROUBLE = pages.prose((DOCS / "troubleshooting.md").read_text().replace("`", ""))
WRITTEN = [pages.README, *pages.PAGES, pages.RUNBOOK]
every_page = pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)

#: Kinds whose every sentence answers "why did it (not) move?".
ANSWERS = {
    *(Kind.REFUSED, Kind.INTERFACE_STATE, Kind.STAYS),
    *(Kind.FIGHTING, Kind.DRAINED, Kind.MISMATCH),
}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.checklist("7.2", 48)
def test_a_page_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "run: python -m tools.build_docs"


def test_every_row_of_the_checklist_is_met_by_a_test_or_by_a_line() -> None:
    tests = by_row()
    assert tests.keys() == CONVENTIONS.keys() == set(range(1, 49))
    assert not [n for n, row in CONVENTIONS.items() if not (row.line or tests[n])]


def test_the_page_on_the_exporter_names_all_its_flags() -> None:
    page = (DOCS / "exporter.md").read_text()
    flags = set(re.findall(r"--[a-z][a-z.-]+[a-z]", parser().format_help()))
    told = set(re.findall(r"--[a-z][a-z.-]+[a-z]", page))
    collectors = {flag for flag in flags if "collector." in flag}
    assert flags - collectors - {"--help", "--version"} <= told
    assert told <= flags | {"--collector", "--no-collector"}


@pytest.mark.parametrize(
    "template",
    [text for (kind, reason), text in _SENTENCES.items() if kind in ANSWERS and (reason or kind)],
)
def test_what_keeps_an_address_from_moving_is_found_by_its_sentence(template: str) -> None:
    generic = {"IP interface {interface} of group {group} is now {state} ({reason})"}
    if template in generic or template == "{interface}: {reason} {value}":
        return  # says nothing by itself; which of them it is follows in brackets
    quoted = re.escape(template.partition("{value}:")[0].replace("`", "").rstrip())
    if "is {value}: " in template or template.startswith("IPv6 is disabled"):
        quoted = re.escape(template.partition(": ")[0].partition(" {value}")[0])
    sentence = re.sub(r"\\\{\w+\\\}", ".{0,60}?", quoted).replace("\\ ", " ")
    assert re.search(sentence, TROUBLE), template


@pytest.mark.parametrize("text", [*if_mpadm.REASONS.values(), *if_mpadm.TEXTS.values()])
def test_what_if_mpadm_says_is_found(text: str) -> None:
    assert text.format("ni0") in TROUBLE


def anchors(page: Path) -> set[str]:
    """What a heading is called in a link to it."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith(("http:", "https:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} leads to {link}"
        assert not anchor or anchor in anchors(target), f"{page.name} leads to {link}"


def test_every_page_is_in_the_list_of_the_readme() -> None:
    linked = set(re.findall(r"\]\(docs/([\w-]+\.md)\)", pages.README.read_text()))
    assert linked == {page.name for page in pages.PAGES}


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return {
        word: sub
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for word, sub in action.choices.items()
    }


#: Options of the commands of Solaris, which have no parser of that kind.
GETOPT = {
    module.__name__.rpartition(".")[2]: {f"-{letter}" for letter in module.SHORT.replace(":", "")}
    | {f"--{name.rstrip('=')}" for name in module.LONG}
    for module in (if_mpadm, ipmpstat)
}
PARSERS = {
    "ipmp": ipmp._parser([]),
    "mpathd": mpathd._parser(),
    "ipmp_exporter": parser(),
    "ipmp_fleetlock": fleetlock._parser(),
    "ipmp_remediator": remediator._parser(),
}


def commands(page: Path) -> Iterator[list[str]]:
    """Every command of ours that a page quotes or shows, in words."""
    text = page.read_text()
    shown = [line for block in pages.blocks(text) for line in block.splitlines()]
    text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    for quoted in (*re.findall(r"`([^`]+)`", text), *shown):
        for part in re.split(r"&&|\||;", pages.prose(re.sub(r"\s#.*", "", quoted))):
            plain = part.strip().removeprefix("host# ").removeprefix(".venv/bin/")
            name = plain.partition(" ")[0]
            if name in PARSERS or name in GETOPT:
                try:
                    yield shlex.split(plain)
                except ValueError:
                    yield plain.split()


@every_page
def test_every_command_and_option_exists(page: Path) -> None:
    for name, *words in commands(page):
        told = [word.partition("=")[0].rstrip(",.:") for word in words]
        options = {word for word in told if re.match(r"--?[a-zA-Z]", word)}
        if name in GETOPT:
            letters = {f"-{c}" for o in options if not o.startswith("--") for c in o[1:]}
            options = {o for o in options if o.startswith("--")} | letters
            assert options <= GETOPT[name], f"{page.name}: {name} {words}"
            continue
        parser = PARSERS[name]
        if (name, *told[:1]) == ("ipmp_remediator", "route"):
            parser, told = route._parser(), told[1:]
        allowed = set(parser._option_string_actions)
        for word in told:
            deeper = subparsers(parser)
            if deeper and re.fullmatch(r"[a-z][a-z-]*", word):
                assert word in deeper, f"{page.name}: {name} {words}"
                parser = deeper[word]
                allowed |= set(parser._option_string_actions)
        if "--" in told:
            options &= set(told[: told.index("--")])
        assert options <= allowed, f"{page.name}: {name} {words}"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (page.name, block)
        for page in pages.PAGES
        for block in pages.blocks(page.read_text(), "toml")
        if "[groups." in block
    ],
)
def test_every_configuration_of_the_pages_is_valid(name: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "ipmp.toml"
    file.write_text(text)
    assert load(file, tmp_path / "none").groups
