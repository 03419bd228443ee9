"""The project's own pages: their fenced blocks, and their text without line breaks."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
RUNBOOK = ROOT / "alerts/runbook.md"

_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def blocks(text: str, language: str = "") -> list[str]:
    """The fenced blocks of a language, without their indentation."""
    return [textwrap.dedent(body) for told, body in _FENCE.findall(text) if told == language]


def prose(text: str) -> str:
    """Everything on one line, as one reads it."""
    return " ".join(text.split())
