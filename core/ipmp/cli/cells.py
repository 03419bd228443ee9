"""Text as a terminal shows it: how many columns it takes, and cut to what there is. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

ELLIPSIS = "..."
PLAIN = "\033[0m"


class Span(NamedTuple):
    """A piece of a line, and the escape sequence of its colour, if any."""

    text: str
    colour: str = ""


Line = tuple[Span, ...]


def line(text: str, colour: str = "") -> Line:
    """Return a line in one colour."""
    return (Span(text, colour),)


def printable(text: str) -> str:
    """Replace what could move the cursor or change the terminal; text comes from anybody."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def width(text: str) -> int:
    """Return how many columns it takes."""
    return len(text) if text.isascii() else sum(map(_width, text))


def padded(text: str, columns: int) -> str:
    """Fill up with blanks."""
    return text + " " * (columns - width(text))


def clip(wanted: Line, columns: int) -> Line:
    """Make a line fit; what is cut ends with an ellipsis."""
    clean = tuple(Span(printable(span.text), span.colour) for span in wanted)
    if sum(width(span.text) for span in clean) <= columns:
        return clean
    dots = ELLIPSIS[: max(columns, 0)]
    kept = tuple(_kept(clean, columns - len(dots)))
    return (*kept, Span(dots))


def painted(wanted: Line, *, colour: bool) -> str:
    """Return a line as it is written to a terminal."""
    return "".join(
        f"{span.colour}{span.text}{PLAIN}" if colour and span.colour else span.text
        for span in wanted
    )


def _kept(spans: Line, room: int) -> Iterator[Span]:
    for span in spans:
        text = ""
        for character in span.text:
            room -= _width(character)
            if room < 0:
                yield Span(text, span.colour)
                return
            text += character
        yield span


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
