"""Every sentence that a decision can become: in logs, history, answers. Held to a golden file."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ipmp import decision as decisions
from ipmp.decision import Decision, Reason

GOLDEN = Path(__file__).parents[2] / "golden" / "sentences.txt"

#: One of each fact that a sentence may need.
FACTS = {
    "state": "failed",
    "previous": "ok",
    "source": "ni0",
    "target": "ni1",
    "why": "(new switch)",
    "value": "VALUE",
    "name": "NAME",
    "count": 2,
    "seconds": 0.25,
}

#: Texts of in.mpathd, as people search their logs for them (ipmp-semantics 2.3 to 2.9).
SOLARIS = (
    "The link has gone down on ni0",
    "The link has come up on ni0",
    "All IP interfaces in group ipmp0 are now unusable",
    "At least 1 IP interface (ni0) in group ipmp0 is now usable",
)


def sentences() -> dict[str, str]:
    found = {}
    for kind, reason in decisions._SENTENCES:
        one = Decision(
            kind,
            reason or Reason.STOPPED,  # one that has no sentence of its own
            "ipmp0",
            interface="ni0",
            address="192.0.2.5/24",
            actor="root (uid 0)",
            detail=dict(FACTS),
        )
        found[f"{kind} {reason or '*'}"] = one.sentence()
    return found


def golden() -> dict[str, str]:
    blocks = re.findall(r"^(\S+ \S+)\n    (.+)$", GOLDEN.read_text(), re.MULTILINE)
    return dict(blocks)


def test_every_sentence_is_as_it_was() -> None:
    """UPDATE_GOLDEN=1 writes the file anew; the difference is then for people to judge."""
    if os.environ.get("UPDATE_GOLDEN"):
        blocks = (f"{name}\n    {text}\n" for name, text in sorted(sentences().items()))
        GOLDEN.write_text("\n".join(blocks))
    assert sentences() == golden()


def test_solaris_texts_are_among_them() -> None:
    assert set(SOLARIS) <= set(golden().values())
