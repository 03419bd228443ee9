"""The page in a real browser: live, without JavaScript, in the dark, on a phone; and its stream.

The screenshots in docs/ are made here when SCREENSHOTS is set in the environment.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient

from ipmp.decision import Decision, Kind, Reason
from ipmp_exporter import live
from tests.support import exporter_statuses as statuses
from tests.support.browser import Browser, chromium
from tests.support.exporter_daemon import FakeDaemon
from tests.support.wait import eventually_async, patience

DOCS = Path(__file__).parents[3] / "docs"
LINK_DOWN = Decision(
    Kind.INTERFACE_STATE, Reason.LINK_DOWN, "ipmp0", "ni0", detail={"state": "failed"}
)


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with chromium(tmp_path / "profile") as running:
        yield running


def cell(interface: str, column: str) -> str:
    row = f'tr[data-key="interface {interface}"] [data-label="{column}"]'
    return f"document.querySelector('{row}').textContent"


async def keep(browser: Browser, name: str, directory: Path) -> None:
    """Take a screenshot; where it is kept is asked for by the environment."""
    path = (DOCS if os.environ.get("SCREENSHOTS") else directory) / f"page-{name}.png"
    await browser.screenshot(path)
    assert path.stat().st_size > 5000


@pytest.mark.tools
async def test_in_a_browser_it_is_live_and_breaks_no_policy(
    browser: Browser, client: TestClient, daemon: FakeDaemon, tmp_path: Path
) -> None:
    daemon.answer = statuses.probed()
    daemon.happens(Decision(Kind.ONLINE, Reason.OPERATOR, "ipmp0", "ni0", actor="root (uid 0)"))
    await browser.look(1280, 900)
    await browser.call("Page.navigate", url=str(client.make_url("/")))
    await browser.until("document.querySelector('#live')?.textContent === 'Live'")
    assert await browser.evaluate(cell("ni0", "State")) == "ok"
    await keep(browser, "light", tmp_path)
    await browser.look(1280, 900, "dark")
    await keep(browser, "dark", tmp_path)
    daemon.answer = statuses.failed()
    daemon.happens(LINK_DOWN)
    await browser.until(f"{cell('ni0', 'State')} === 'failed'")
    assert await browser.evaluate("document.title") == "FAILED: IPMP on db7"
    assert "changed" in await browser.evaluate(
        "document.querySelector('tr[data-key=\"interface ni0\"]').className"
    )
    assert await browser.evaluate("document.body.textContent.includes('link-down')")
    await browser.look(1280, 900)
    await keep(browser, "failed", tmp_path)
    assert browser.problems == []


@pytest.mark.tools
async def test_on_a_phone_nothing_sticks_out(
    browser: Browser, client: TestClient, daemon: FakeDaemon, tmp_path: Path
) -> None:
    daemon.answer = statuses.offline()
    daemon.happens(LINK_DOWN)
    await browser.look(360, 740)
    await browser.call("Page.navigate", url=str(client.make_url("/")))
    await browser.until("document.querySelector('#live')?.textContent === 'Live'")
    assert await browser.evaluate("document.documentElement.scrollWidth") == 360
    assert await browser.evaluate("document.querySelector('main').scrollWidth <= 360")
    await keep(browser, "phone", tmp_path)


@pytest.mark.tools
async def test_without_javascript_it_is_whole_and_reloads_itself(
    browser: Browser, client: TestClient, daemon: FakeDaemon
) -> None:
    await browser.call("Emulation.setScriptExecutionDisabled", value=True)
    await browser.call("Page.navigate", url=str(client.make_url("/")))
    await browser.until("document.querySelectorAll('table').length >= 3")
    first = daemon.requests
    assert daemon.followers == set()
    await eventually_async(lambda: daemon.requests > first, timeout=30)


async def read_state(content) -> str:  # type: ignore[no-untyped-def]
    """Return the next state of a stream; signs of life are passed over."""
    data = []
    async with asyncio.timeout(patience(10)):
        async for line in content:
            if line.startswith(b"data: "):
                data.append(line[6:].decode())
            elif not line.strip() and data:
                return "".join(data)
    raise AssertionError("the stream has ended")


async def test_the_daemon_is_asked_once_for_all_viewers_and_not_at_all_for_none(
    client: TestClient, daemon: FakeDaemon
) -> None:
    async with client.get(live.LIVE_PATH) as one, client.get(live.LIVE_PATH) as two:
        assert one.headers["Content-Type"] == "text/event-stream"
        assert await read_state(one.content) == await read_state(two.content)
        await eventually_async(lambda: len(daemon.followers) == 1)
        daemon.answer = statuses.failed()
        daemon.happens(LINK_DOWN)
        for response in (one, two):
            assert "ni1 does not exist on this host" in await read_state(response.content)
        assert len(daemon.followers) == 1

    def nobody_follows() -> bool:  # both sides notice only when they write
        daemon.happens(LINK_DOWN)
        return not daemon.followers

    await eventually_async(nobody_follows, interval=0.1, timeout=15)


async def test_a_daemon_that_goes_and_comes_back_is_seen(client: TestClient, run_dir: Path) -> None:
    async with client.get(live.LIVE_PATH) as response:
        assert "mpathd is not running" in await read_state(response.content)
        async with FakeDaemon(run_dir, statuses.healthy()).listening():
            assert "2 groups: 2 ok" in await read_state(response.content)
        assert "mpathd is not running" in await read_state(response.content)


async def test_one_viewer_too_many_is_told(
    client: TestClient, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_VIEWERS", 1)
    async with client.get(live.LIVE_PATH) as first, client.get(live.LIVE_PATH) as second:
        assert (first.status, second.status) == (200, 503)
        assert re.fullmatch(r"1 pages are live already\.\n", await second.text())
