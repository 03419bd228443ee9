"""Is anybody else in charge of a member? What other programs of this host would do to it, and the
drop-in that keeps them away.

`Root` reads files and processes, each manager's module has a `read` (files to values) and a `judge`
(values to findings, pure), `survey` asks them all, `write` makes the drop-ins.
"""

from __future__ import annotations

from ipmp.preflight.finding import DropIn, Finding, Member
from ipmp.preflight.root import Root
from ipmp.preflight.survey import survey
from ipmp.preflight.write import Outcome, write

__all__ = ["DropIn", "Finding", "Member", "Outcome", "Root", "survey", "write"]
