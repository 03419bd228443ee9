"""The page for people."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import msgspec
import pytest
from aiohttp.test_utils import TestClient

from ipmp.decision import Decision, Kind, Reason
from ipmp.model import Status
from ipmp_exporter.daemon import Reading
from ipmp_exporter.events import NO_EVENTS, Recent
from ipmp_exporter.page import page
from ipmp_exporter.page.tables import MAX_ADDRESSES
from tests.support import exporter_statuses as statuses
from tests.support.exporter_daemon import FakeDaemon

Row = list[str]


class Reader(HTMLParser):
    """What a reader sees: tables as rows of cells by caption, paragraphs, links, every tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[Row]] = {}
        self.paragraphs: list[str] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self._caption = ""
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "meta":
            return
        self._open.append(tag)
        match tag:
            case "tr":
                self.tables[self._caption].append([])
            case "th" | "td":
                self.tables[self._caption][-1].append("")
            case "p":
                self.paragraphs.append("")
            case "a":
                self.links.append(dict(attrs)["href"] or "")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "caption" in self._open:
            self._caption = data
            self.tables[data] = []
        elif "th" in self._open or "td" in self._open:
            self.tables[self._caption][-1][-1] += data
        elif "p" in self._open:
            self.paragraphs[-1] += data


def read(status: Status | None, error: str = "", recent: Recent = NO_EVENTS) -> Reader:
    return Reader(page(Reading(status, 0.001, error), "0.1.0", "/metrics", recent))


def rows(reader: Reader, table: str) -> dict[str, dict[str, str]]:
    head, *body = reader.tables[table]
    return {row[0]: dict(zip(head, row, strict=True)) for row in body}


def test_tables_tell_the_state() -> None:
    reader = read(statuses.offline())
    group = rows(reader, "Groups")["ipmp0"]
    assert (group["State"], group["Usable"]) == ("degraded", "1 of 2")
    interface = rows(reader, "Interfaces")["ni0"]
    assert interface["State"] == "offline"
    assert interface["Why"] == "taken offline by root: switch A is replaced"
    assert interface["Role"] == "not active, held by root (uid 0): not before Monday"
    address = rows(reader, "Addresses")["192.168.1.5/24"]
    assert (address["Interface"], address["Home"], address["Moves"]) == ("ni1", "ni0", "1")
    assert any("Remediation is paused" in text for text in reader.paragraphs)


def test_failed_group() -> None:
    reader = read(statuses.failed())
    assert rows(reader, "Groups")["ipmp0"]["State"] == "failed"
    assert rows(reader, "Addresses")["192.168.1.5/24"]["Interface"] == "nowhere"
    assert any("groups.ipmp0.interfaces: <empty> & useless" in p for p in reader.paragraphs)


def test_targets_with_their_round_trip_times() -> None:
    target = rows(read(statuses.probed()), "Probe targets")["10.0.0.7"]
    assert (target["Interface"], target["RTT"], target["Mean deviation"]) == (
        *("ni2", "0.412 ms", "0.050 ms"),
    )
    assert target["Answered"] == "97 of 100 on ni2, 2 lost"
    assert target["From"] == "10.0.0.21 (config)"


def test_of_many_addresses_those_away_from_home_are_shown() -> None:
    status = statuses.healthy()
    first = status.addresses[0]
    replace = msgspec.structs.replace
    many = [replace(first, address=f"10.9.{n // 250}.{n % 250}/16") for n in range(1000)]
    many[777] = replace(many[777], interface="ni1")
    reader = read(replace(status, addresses=tuple(many)))
    shown = rows(reader, "Addresses")
    assert len(shown) == MAX_ADDRESSES
    assert next(iter(shown)) == many[777].address
    assert "and 800 more, see " in reader.paragraphs[-1]
    assert reader.paragraphs[0].endswith("1 of 1000 addresses are away from home.")


async def test_last_events_with_their_reasons_newest_first(
    client: TestClient, daemon: FakeDaemon
) -> None:
    daemon.happens(
        Decision(Kind.INTERFACE_STATE, Reason.LINK_DOWN, "ipmp0", "ni0"),
        Decision(Kind.ADDRESS_MOVED, Reason.LINK_DOWN, "ipmp0", "ni0", "192.168.1.5/24"),
        Decision(Kind.ONLINE, Reason.OPERATOR, "ipmp0", "ni0", actor="<root>"),
    )
    async with client.get("/") as response:
        _head, *events = Reader(await response.text()).tables["Last events"]
    assert [event[1].split()[0] for event in events] == ["ni0", "The"]
    assert events[1][1:] == ["The link has gone down on ni0", "link-down", "ipmp0", "ni0"]


async def test_a_history_that_cannot_be_read_is_one_sentence(
    client: TestClient, daemon: FakeDaemon
) -> None:
    daemon.happened = None  # type: ignore[assignment] # the stand-in answers 500
    async with client.get("/") as response:
        reader = Reader(await response.text())
    assert reader.paragraphs[-1] == (
        "The last events cannot be shown: mpathd answered with HTTP status 500"
    )
    assert "Groups" in reader.tables


def test_every_cell_of_a_card_on_a_phone_has_its_label() -> None:
    reader = read(statuses.healthy())
    labels = [attributes["data-label"] for tag, attributes in reader.tags if tag == "td"]
    columns = {column for table in reader.tables.values() for column in table[0]}
    assert labels
    assert set(labels) <= columns


def test_daemon_away_is_one_sentence() -> None:
    reader = read(None, "mpathd is not running: there is no /run/<x>/status.sock (see --run-dir)")
    assert reader.paragraphs == [
        "mpathd is not running: there is no /run/<x>/status.sock (see --run-dir)"
    ]
    assert reader.tables == {}
    assert reader.links == ["/metrics"]


def test_no_groups() -> None:
    assert read(statuses.without_groups()).paragraphs == ["No group is configured."]


def test_every_text_is_escaped() -> None:
    """Every text field of the snapshot is an attack; the page has the same tags as without."""
    attack = "\"'><script>alert(1)</script><img src=x>&amp;"

    def poison(value: object) -> object:
        if isinstance(value, dict):
            return {key: poison(item) for key, item in value.items()}
        if isinstance(value, list):
            return [poison(item) for item in value]
        return f"{value}{attack}" if isinstance(value, str) else value

    status = statuses.offline()
    poisoned = msgspec.to_builtins(status)
    assert isinstance(poisoned, dict)
    enums = {"state", "link", "probe", "family"}
    for part in ("groups", "interfaces", "addresses"):
        poisoned[part] = [
            {key: item if key in enums else poison(item) for key, item in thing.items()}
            for thing in poisoned[part]
        ]
    poisoned |= {"host": attack, "daemon": poison(poisoned["daemon"])}
    reader = read(msgspec.convert(poisoned, Status))
    assert [tag for tag, _ in reader.tags] == [tag for tag, _ in read(status).tags]
    assert f"ni0{attack}" in rows(reader, "Interfaces")


@pytest.mark.parametrize("path", ["/", "/?x=1"])
async def test_served_with_a_strict_policy(
    client: TestClient, daemon: FakeDaemon, path: str
) -> None:
    async with client.get(path) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        policy = response.headers["Content-Security-Policy"]
        text = await response.text()
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert "unsafe" not in policy
    assert "prefers-color-scheme: dark" in style[1]


async def test_nothing_is_loaded_and_the_only_script_is_the_one_of_the_policy(
    client: TestClient, daemon: FakeDaemon
) -> None:
    async with client.get("/") as response:
        policy = response.headers["Content-Security-Policy"]
        text = await response.text()
    reader = Reader(text)
    assert {"link", "img", "iframe"}.isdisjoint(tag for tag, _ in reader.tags)
    assert [attributes for tag, attributes in reader.tags if tag == "script"] == [{}]
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"; script-src 'sha256-{digest}'; connect-src 'self'; base-uri 'none';" in policy
    assert not [name for _, attributes in reader.tags for name in attributes if name[:2] == "on"]
    assert reader.links == ["/metrics"]
    async with client.get(reader.links[0]) as response:
        assert response.status == 200


async def test_daemon_away_over_http(client: TestClient) -> None:
    async with client.get("/") as response:
        assert response.status == 200
        (sentence,) = Reader(await response.text()).paragraphs
    assert sentence.startswith("mpathd is not running: there is no ")


@pytest.mark.parametrize(
    "path", ["/index.html", "/metrics/", "/metricsx", "/-/ready", "/../etc/passwd", "/%00"]
)
async def test_other_paths_do_not_exist(client: TestClient, daemon: FakeDaemon, path: str) -> None:
    async with client.get(path) as response:
        assert response.status == 404
    assert daemon.requests == 0
