"""What survives the death of a daemon besides the kernel: its run directory and its history.

Stands in for `IntentStore` and `History` at their public methods. Files are bytes, encoded and
decoded as the real ones are, and replaced atomically: a death leaves the old or the new one.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ipmp.homes import Homes
from ipmp.intent import Intent
from ipmp.model import Event

_encode = msgspec.json.Encoder().encode
_intent = msgspec.json.Decoder(Intent)
_homes = msgspec.json.Decoder(dict[str, Homes])


class Disk:
    """The files, and whoever is told when the intent is about to change."""

    def __init__(self) -> None:
        self.intent_file = b"{}"
        self.homes_file = b"{}"
        self.last_id = 0

    @property
    def intent(self) -> Intent:
        """The intent as it is stored now."""
        return _intent.decode(self.intent_file)


class Store:
    """Implements the methods of `IntentStore`, for one life of the daemon."""

    def __init__(
        self,
        disk: Disk,
        effect: Callable[[str], None],
        intended: Callable[[Intent, Intent], None],
    ) -> None:
        self._disk, self._effect, self._intended = disk, effect, intended

    def close(self) -> None:
        """Nothing to release."""

    def load_intent(self) -> Intent:
        """Read the intent."""
        return self._disk.intent

    def save_intent(self, intent: Intent) -> None:
        """Replace the intent file, durably."""
        self._effect("intent")
        before = self._disk.intent
        self._disk.intent_file = _encode(intent)
        self._intended(before, intent)

    def load_homes(self) -> dict[str, Homes]:
        """Read the homes of each group."""
        return _homes.decode(self._disk.homes_file)

    def save_homes(self, homes: dict[str, Homes]) -> None:
        """Replace the homes file."""
        self._effect("homes")
        self._disk.homes_file = _encode(homes)


class Chronicle:
    """Implements what the journal and the daemon use of `History`."""

    on_disk, pending = True, 0

    def __init__(self, disk: Disk, note: Callable[[Event], None]) -> None:
        self._disk, self._note = disk, note

    @property
    def last_id(self) -> int:
        """The id after which the next event is numbered."""
        return self._disk.last_id

    def append(self, event: Event) -> None:
        """Take an event into the history."""
        self._disk.last_id = event.id
        self._note(event)

    async def close(self) -> None:
        """Everything is written already."""
