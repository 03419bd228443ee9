"""Which format and compression a scraper gets for what it says it accepts."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ipmp_exporter.negotiation import TEXT_0_0_4, accepts_gzip, choose_format

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)

TEXT = "text/plain; version=0.0.4; charset=utf-8"
TEXT_1 = "text/plain; version=1.0.0; charset=utf-8; escaping="
UNDERSCORES = TEXT_1 + "underscores"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping="


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/*", TEXT),
        (BROWSER, TEXT),
        ("text/plain", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("TEXT/PLAIN; Version=0.0.4", TEXT),
        ("text/plain;version=1.0.0", UNDERSCORES),
        ("text/plain;version=1.0.0;escaping=allow-utf-8", TEXT_1 + "allow-utf-8"),
        ("application/openmetrics-text", OPENMETRICS + "underscores"),
        ("application/openmetrics-text;version=1.0.0", OPENMETRICS + "underscores"),
        ('application/openmetrics-text; version="1.0.0"', OPENMETRICS + "underscores"),
        ("application/openmetrics-text;version=1.0.0;escaping=values", OPENMETRICS + "values"),
        ("application/openmetrics-text;version=1.0.0;escaping=dots", OPENMETRICS + "underscores"),
        (PROMETHEUS_2_42, OPENMETRICS + "underscores"),
        (PROMETHEUS_3, OPENMETRICS + "allow-utf-8"),
        (f"{PROTOBUF};q=0.9,text/plain;version=0.0.4;q=0.5", TEXT),
        (PROTOBUF, TEXT),
        # versions that are not served
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        (
            "application/openmetrics-text;version=9, text/plain;version=1.0.0;q=0.1",
            UNDERSCORES,
        ),
        ("text/plain;version=3", TEXT),
        # weights
        ("text/plain;q=0.9, application/openmetrics-text;version=1.0.0;q=0.1", TEXT),
        ("text/plain;q=0.1, application/openmetrics-text;q=0.9", OPENMETRICS + "underscores"),
        ("text/plain, application/openmetrics-text", TEXT),
        ("application/openmetrics-text, text/plain", OPENMETRICS + "underscores"),
        (
            "application/openmetrics-text;q=0, text/plain;version=1.0.0;q=0.2",
            UNDERSCORES,
        ),
        ("application/openmetrics-text;q=0", TEXT),
        # garbage
        ("application/openmetrics-text;version=abc", TEXT),
        ("application/openmetrics-text;version=", OPENMETRICS + "underscores"),
        ("application/openmetrics-text;q=much", TEXT),
        ("application/openmetrics-text;q=nan", TEXT),
        ("application/openmetrics-text;q=inf", TEXT),
        ("application/openmetrics-text;q=-1", TEXT),
        ("application/openmetrics-text;escaping=<script>", OPENMETRICS + "underscores"),
        (",;=,;;q,", TEXT),
    ],
)
def test_format(accept: str, content_type: str) -> None:
    chosen = choose_format(accept)
    assert chosen.content_type == content_type
    assert chosen.openmetrics == content_type.startswith("application/openmetrics-text")
    assert chosen.escaping == content_type.partition("escaping=")[2] or chosen == TEXT_0_0_4


@pytest.mark.parametrize(
    ("accept_encoding", "gzip"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip", True),
        ("gzip;q=0.1, br", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0, *", False),
        ("*;q=0, gzip", True),
        ("*", True),
        ("*;q=0", False),
        ("identity", False),
        ("deflate", False),
        ("br, zstd", False),
        ("gzip;q=lots", False),
        ("gzipped", False),
    ],
)
def test_gzip(accept_encoding: str, gzip: bool) -> None:
    assert accepts_gzip(accept_encoding) is gzip


MEDIA = st.sampled_from(["text/plain", "application/openmetrics-text", "*/*", "q", ""])
PARAMETER = st.sampled_from(["q=1", "q=", "version=1.0.0", "version=é", "escaping=x", "=", ";"])
HEADER = st.lists(st.lists(st.one_of(MEDIA, PARAMETER, st.text())).map(";".join)).map(",".join)


@given(HEADER)
@example("\0")
def test_no_header_is_too_strange_and_none_is_echoed(header: str) -> None:
    content_type = choose_format(header).content_type
    known = {
        prefix + e
        for prefix in (TEXT_1, OPENMETRICS)
        for e in ("underscores", "allow-utf-8", "values")
    }
    assert content_type in known | {TEXT}
    assert accepts_gzip(header) in (True, False)
