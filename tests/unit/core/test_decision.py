"""Every decision that can be made has a sentence."""

from __future__ import annotations

import pytest

from ipmp.decision import Decision, Kind, Reason

FACTS = ("state", "previous", "source", "target", "why", "value", "name", "count", "seconds")


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("facts", [FACTS, ()], ids=["all facts", "no facts"])
def test_every_kind_has_a_sentence_for_every_reason(kind: Kind, facts: tuple[str, ...]) -> None:
    detail: dict[str, str | int | float] = dict.fromkeys(facts, "fact")
    for reason in Reason:
        decision = Decision(kind, reason, "g", "ni0", "192.0.2.1/24", "root", detail)
        sentence = decision.sentence()
        assert sentence == sentence.rstrip() != ""
        assert not set("{}") & set(sentence)


@pytest.mark.parametrize(("count", "text"), [(1, "1 address failed"), (2, "2 addresses failed")])
def test_addresses_are_counted_in_words(count: int, text: str) -> None:
    decision = Decision(Kind.FAILOVER, Reason.LINK_DOWN, detail={"count": count})
    assert decision.sentence().startswith(text)


def test_what_a_user_wrote_is_no_template() -> None:
    decision = Decision(Kind.HOLD, Reason.OPERATOR, interface="ni0", detail={"why": "({reason})"})
    assert decision.sentence().endswith("by the daemon ({reason})")
