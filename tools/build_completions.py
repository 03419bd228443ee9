"""Writes the shell completions from the parsers: `python tools/build_completions.py`.

A test compares the files in completions/ with what is made here, so they cannot go stale. Both
shells get the same tables: for each command the words that may follow, the options that take a
value, and what kind of value or operand it is.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from ipmp.cli import if_mpadm, ipmp, ipmpstat, mpathd
from ipmp.decision import Kind
from ipmp_exporter import flags as exporter
from ipmp_fleetlock import main as fleetlock
from ipmp_remediator import main as remediator
from ipmp_remediator.route import main as route

COMPLETIONS = Path(__file__).parent.parent / "completions"

#: Operands and option values that are names of something: "ask" runs ipmpstat, so that they are
#: those of this host now.
ASKED = {
    "group": "group",
    "interface": "interface",
    "address": "address",
    "object": "group interface address",
}
FILES = {"FILE", "DIR", "IMAGE"}


class Entry(NamedTuple):
    """What may follow one command."""

    words: list[str]  # options and sub-commands
    values: dict[str, str]  # option -> what its value is: @group, @file, words, or nothing
    operand: str  # what its operand is, in the same notation


def tables() -> dict[str, Entry]:
    """Every command, and every sub-command as `ipmp history`."""
    found: dict[str, Entry] = {}
    for parser in (
        ipmp._parser([]),
        mpathd._parser(),
        exporter.parser(),
        remediator._parser(),
        route._parser(),
        fleetlock._parser(),
    ):
        found |= _commands(parser, parser.prog)
    found["ipmp_remediator"].words.append("route")
    for module in (if_mpadm, ipmpstat):
        found[module.__name__.rpartition(".")[2]] = _solaris(module.SHORT, module.LONG)
    return found


def _commands(parser: argparse.ArgumentParser, name: str) -> dict[str, Entry]:
    words: list[str] = []
    values: dict[str, str] = {}
    operand = ""
    below: dict[str, Entry] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            words += action.choices
            for word, sub in action.choices.items():
                below |= _commands(sub, f"{name} {word}")
        elif action.option_strings:
            words += action.option_strings
            if action.nargs != 0:
                values |= dict.fromkeys(action.option_strings, _kind(action))
        else:
            operand = operand or _kind(action)
    return {name: Entry(sorted(words), values, operand), **below}


def _kind(action: argparse.Action) -> str:
    if action.choices:
        return " ".join(map(str, action.choices))
    if action.dest == "kind":
        return " ".join(Kind)
    if action.dest in ASKED:
        return f"@{ASKED[action.dest].replace(' ', '@')}"
    is_path = str(action.metavar) in FILES or action.type is Path
    return "@file" if is_path else ""


def _solaris(short: str, long: list[str]) -> Entry:
    """The options of getopt; `-d` and `-r` of if_mpadm name an interface."""
    letters = [f"-{letter}" for letter in short.replace(":", "")]
    values = {f"-{a}": "" for a, b in pairwise(short) if b == ":"}
    values |= {f"-{letter}": "@interface" for letter in "dr" if f"{letter}:" in short}
    if "-o" in values:
        values["-o"] = "all"
    names = [f"--{name.rstrip('=')}" for name in long]
    values |= {f"--{name[:-1]}": "" for name in long if name.endswith("=")}
    if "--run-dir" in values:
        values["--run-dir"] = "@file"
    return Entry(sorted(letters + names), values, "")


def _cases() -> Iterator[str]:
    """The tables as one function that both shells understand."""
    yield "_ipmp_table() {  # COMMAND, then: words | value OPTION | operand"
    yield '    case "$1:$2" in'
    for name, entry in tables().items():
        yield f"        '{name}:words') echo '{' '.join(entry.words)}' ;;"
        for option, kind in entry.values.items():
            yield f"        '{name}:value {option}') echo '{kind or '@none'}' ;;"
        if entry.operand:
            yield f"        '{name}:operand') echo '{entry.operand}' ;;"
    yield "    esac"
    yield "}"


_SHARED = r"""
_ipmp_names() {  # the names of this host: @group@interface
    case "$1" in *@group*) ipmpstat -g -P -o group 2>/dev/null ;; esac
    case "$1" in *@interface*) ipmpstat -i -P -o interface 2>/dev/null ;; esac
    case "$1" in *@address*) ipmpstat -a -n -P -o address 2>/dev/null ;; esac
}

_ipmp_candidates() {  # the words before the one that is completed, the command first
    local command="$1" last="$1" word kind
    command="${command##*/}"
    shift
    for word in "$@"; do
        case "$word" in
            -*) ;;
            *) [ -n "$(_ipmp_table "$command $word" words)" ] && command="$command $word" ;;
        esac
        last="$word"
    done
    kind="$(_ipmp_table "$command" "value $last")"
    if [ -z "$kind" ]; then
        _ipmp_table "$command" words
        kind="$(_ipmp_table "$command" operand)"
    fi
    case "$kind" in
        @file|@none) echo "$kind" ;;
        @*) _ipmp_names "$kind" ;;
        *) echo "$kind" ;;
    esac
}
"""

_BASH = r"""
_ipmp_complete() {
    local current="${COMP_WORDS[COMP_CWORD]}" found IFS=$' \t\n'
    found="$(_ipmp_candidates "${COMP_WORDS[@]:0:COMP_CWORD}")"
    COMPREPLY=()
    case "$found" in
        *@none*) return ;;
        *@file*) compopt -o default 2>/dev/null; found="${found//@file/}" ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$found" -- "$current")
}

complete -F _ipmp_complete {names}
"""

_ZSH = r"""
local -a found
found=(${=$(_ipmp_candidates ${words[1,CURRENT-1]})})
if (( ${found[(I)@none]} )); then
    _message value
elif (( ${found[(I)@file]} )); then
    _files
    compadd -- ${found:#@file}
else
    compadd -- $found
fi
"""


def _programs() -> str:
    return " ".join(name for name in tables() if " " not in name)


def bash() -> str:
    """The completion for bash."""
    head = "# Completion of IPMP's commands for bash. Made by tools/build_completions.py.\n\n"
    return head + "\n".join(_cases()) + "\n" + _SHARED + _BASH.replace("{names}", _programs())


def zsh() -> str:
    """The completion for zsh."""
    head = f"#compdef {_programs()}\n# Made by tools/build_completions.py.\n\n"
    return head + "\n".join(_cases()) + "\n" + _SHARED + _ZSH


FILES_MADE = {"ipmp.bash": bash, "_ipmp": zsh}


def main() -> None:
    """Write both."""
    for name, make in FILES_MADE.items():
        (COMPLETIONS / name).write_text(make())


if __name__ == "__main__":
    main()
