"""Pages that are made from the code are what the code says today."""

from __future__ import annotations

import pytest

from tools.build_docs import DOCS, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "run: python tools/build_docs.py"
