"""What happened, kept in SQLite: the newest events, also over restarts and bad disks."""

from ipmp.history.history import History

__all__ = ["History"]
