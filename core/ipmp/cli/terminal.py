"""A terminal as a screen: taken over, drawn on where something has changed, and given back.

It needs no more than a VT100 has: cursor addressing and erasing. What a plain VT100 does not know
(the alternate screen, hiding the cursor, colours) it ignores. Whatever ends the program, except
SIGKILL, the terminal is afterwards as it was.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

from ipmp.cli.console import size

ENTER = "\033[?1049h\033[?25l"
ERASE = "\033[H\033[2J"
LEAVE = "\033[0m\033[{row};1H\033[K\033[?25h\033[?1049l"  # a prompt comes below what is left
FATAL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SIGNALS = (*FATAL, signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)
WAKE = b"\0"  # no signal has this number
LAST_WORDS = 1.0  # seconds; a terminal that is stopped (^S) takes nothing any more
QUIT = frozenset(b"qQ\x04")
REDRAW = 0x0C  # ^L


class Ended(Exception):
    """A signal has ended the program; `number` is that of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Terminal:
    """Standard output as a screen and standard input as its keys; a context manager."""

    def __init__(self) -> None:
        self._output = sys.stdout.fileno()
        self._encoding = sys.stdout.encoding
        self._input = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        self._cooked: list[Any] | None = None  # how the terminal treated input before
        self._drawn: list[str] | None = None  # None: what is on the screen is not known
        self._leaving = False

    def __enter__(self) -> Terminal:
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)
        self._handlers = {number: signal.signal(number, self._handle) for number in SIGNALS}
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        try:
            self._enter()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving = True
        self._leave()
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    @staticmethod
    def size() -> tuple[int, int]:
        """Return columns and rows."""
        return size()

    def show(self, lines: Sequence[str]) -> None:
        """Make the screen show these lines; only those that differ are sent."""
        parts = []
        if self._drawn is None:
            parts.append(ERASE)
            self._drawn = []
        for row in range(max(len(lines), len(self._drawn))):
            wanted = lines[row] if row < len(lines) else ""
            drawn = self._drawn[row] if row < len(self._drawn) else ""
            if wanted != drawn:
                parts.append(f"\033[{row + 1};1H{wanted}\033[K")
        self._drawn = list(lines)
        self._write("".join(parts))

    def wait(self) -> bool:
        """Wait until there may be something to draw; False when the operator has seen enough."""
        sources = [self._woken] if self._input is None else [self._woken, self._input]
        readable, _, _ = select.select(sources, [], [])
        if self._woken in readable:
            self._signalled(os.read(self._woken, 4096))
        if self._input is None or self._input not in readable:
            return True
        keys = os.read(self._input, 1024)
        if not keys:  # the end of it: else it would be readable for ever
            self._input = None
        if REDRAW in keys:
            self._drawn = None
        return not QUIT & frozenset(keys)

    def wake(self) -> None:
        """End a wait; may be called from another thread."""
        with suppress(BlockingIOError, OSError):  # it is awake enough, or ends
            os.write(self._waker, WAKE)

    def _handle(self, number: int, _: FrameType | None) -> None:
        """End at once also amid a write; all else is for `wait`, which the number has woken."""
        if number in FATAL and not self._leaving:
            raise Ended(number)

    def _signalled(self, numbers: bytes) -> None:
        if signal.SIGTSTP in numbers:
            self._leave()
            os.kill(os.getpid(), signal.SIGSTOP)
        if signal.SIGTSTP in numbers or signal.SIGCONT in numbers:
            self._enter()
        if signal.SIGWINCH in numbers:
            self._drawn = None

    def _enter(self) -> None:
        """Take the screen; keys come at once and are not echoed, ^C and ^Z go on working."""
        if self._input is not None:
            self._cooked = self._cooked or termios.tcgetattr(self._input)
            modes = termios.tcgetattr(self._input)
            modes[3] &= ~(termios.ECHO | termios.ICANON)
            modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
            termios.tcsetattr(self._input, termios.TCSANOW, modes)
        self._drawn = None
        self._write(ENTER)

    def _leave(self) -> None:
        with suppress(OSError, termios.error):  # it may have been hung up
            if select.select([], [self._output], [], LAST_WORDS)[1]:
                self._write(LEAVE.format(row=size()[1]))
        if self._input is not None and self._cooked is not None:
            with suppress(OSError, termios.error):
                termios.tcsetattr(self._input, termios.TCSANOW, self._cooked)
        self._cooked = None

    def _write(self, text: str) -> None:
        data = memoryview(text.encode(self._encoding, "replace"))
        while data:
            data = data[os.write(self._output, data) :]
