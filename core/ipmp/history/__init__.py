"""What happened, kept in SQLite: the newest events, also over restarts and bad disks."""

from ipmp.history.history import History
from ipmp.history.store import Query

__all__ = ["History", "Query"]
