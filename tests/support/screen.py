"""A terminal for programs under test: what they draw on it, and how they leave it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Callable, Sequence
from typing import Any

_SEQUENCE = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])")
ALTERNATE, CURSOR = 1049, 25


class Vt100:
    """Understands what we use of a VT100, and fails at everything else."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.cells: list[list[str]] = []
        self.row = self.column = 0
        self.modes: set[int] = {CURSOR}
        self.styles: set[str] = set()  # all that were ever set
        self.sent = 0  # characters
        self._rest = ""
        self._erase()

    def feed(self, text: str) -> None:
        """Take what a program writes; it may end amid a sequence."""
        self.sent += len(text)
        text, self._rest = self._rest + text, ""
        while text:
            if text[0] != "\x1b":
                self._put(text[0])
                text = text[1:]
            elif found := _SEQUENCE.match(text):
                self._obey(found[1], found[2], found[3])
                text = text[found.end() :]
            else:
                assert len(text) < 20, f"no sequence of a VT100: {text[:20]!r}"
                self._rest, text = text, ""

    def lines(self) -> list[str]:
        """What is to be seen, without the blanks behind it."""
        return ["".join(row).rstrip() for row in self.cells]

    def _put(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row = min(self.row + 1, self.rows - 1)
        else:
            assert character.isprintable(), repr(character)
            assert self.column < self.columns - 1, "the last column is not ours"
            self.cells[self.row][self.column] = character
            self.column += 1

    def _obey(self, private: str, parameters: str, letter: str) -> None:
        numbers = [int(number) for number in parameters.split(";") if number]
        if letter == "H":
            row, column = numbers or (1, 1)
            assert row <= self.rows
            self.row, self.column = row - 1, column - 1
        elif (letter, parameters) == ("J", "2"):
            self._erase()
        elif (letter, parameters) == ("K", ""):
            self.cells[self.row][self.column :] = " " * (self.columns - self.column)
        elif letter == "m":
            self.styles.add(parameters)
        else:
            assert private, f"unknown: {parameters}{letter}"
            assert letter in "hl", letter
            (self.modes.update if letter == "h" else self.modes.difference_update)(numbers)

    def _erase(self) -> None:
        self.cells = [[" "] * self.columns for _ in range(self.rows)]


class OnTerminal:
    """A program on a terminal of its own; `popen` starts it, as `subprocess.Popen` does."""

    def __init__(
        self,
        command: Sequence[str],
        columns: int = 80,
        rows: int = 24,
        popen: Callable[..., subprocess.Popen[Any]] = subprocess.Popen,
        **options: Any,
    ) -> None:
        self._master, self._slave = pty.openpty()
        os.set_blocking(self._master, False)
        self.vt100 = Vt100(columns, rows)
        self._resized()
        self.before = self.modes()
        slave = self._slave

        def take_terminal() -> None:
            os.login_tty(os.dup(slave))

        self.process = popen(command, preexec_fn=take_terminal, **options)

    def __enter__(self) -> OnTerminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)
        os.close(self._slave)

    def screen(self) -> str:
        """What is to be seen now."""
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """The lines that are to be seen now."""
        try:
            while data := os.read(self._master, 65536):
                self.vt100.feed(data.decode())
        except BlockingIOError:
            pass
        return self.vt100.lines()

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Make the window another size; what was to be seen is gone."""
        self.lines()
        modes = self.vt100.modes
        self.vt100 = Vt100(columns, rows)
        self.vt100.modes = modes
        self._resized()

    def modes(self) -> list[Any]:
        """How the terminal treats input and output."""
        return termios.tcgetattr(self._slave)

    def is_sane(self) -> bool:
        """Whether it is as it was before the program."""
        self.lines()
        return self.modes() == self.before and self.vt100.modes == {CURSOR}

    def is_taken(self) -> bool:
        """Whether the program has it as its screen."""
        self.lines()
        return self.vt100.modes == {ALTERNATE}

    def _resized(self) -> None:
        size = struct.pack("HHHH", self.vt100.rows, self.vt100.columns, 0, 0)
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, size)
