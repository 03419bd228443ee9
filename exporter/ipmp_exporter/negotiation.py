"""Content negotiation of a scrape: which text format, which escaping, gzip or not.

What a client sends is never echoed: every answer is one of a closed list. Whatever cannot be
understood is skipped, and when nothing is left the answer is the text format 0.0.4, which every
scraper reads; a scrape is never refused for its headers.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

#: Schemes that leave names like ours as they are; `dots` does not, and is answered by the default.
_ESCAPINGS = frozenset({"allow-utf-8", "underscores", "values"})
_DEFAULT_ESCAPING = "underscores"


class Format(msgspec.Struct, frozen=True):
    """An exposition format that can be served."""

    content_type: str
    openmetrics: bool = False
    escaping: str = _DEFAULT_ESCAPING


class _Offer(msgspec.Struct, frozen=True):
    """One element of an Accept or Accept-Encoding header."""

    value: str
    quality: float
    parameters: dict[str, str]


TEXT_0_0_4 = Format("text/plain; version=0.0.4; charset=utf-8")


def choose_format(accept: str) -> Format:
    """Return the format that the client likes best; the first listed one of equals."""
    best, best_quality = TEXT_0_0_4, 0.0
    for offer in _offers(accept):
        served = _served(offer)
        if served is not None and offer.quality > best_quality:
            best, best_quality = served, offer.quality
    return best


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether the body may be compressed; a refusal of gzip outranks a wildcard."""
    quality = {offer.value: offer.quality for offer in _offers(accept_encoding)}
    return quality.get("gzip", quality.get("*", 0.0)) > 0


def _served(offer: _Offer) -> Format | None:
    version = offer.parameters.get("version", "")
    if offer.value in ("*/*", "text/*"):
        return TEXT_0_0_4
    if offer.value == "text/plain" and version in ("", "0.0.4"):
        return TEXT_0_0_4
    if offer.value == "text/plain" and version == "1.0.0":
        return _escaped("text/plain", offer, openmetrics=False)
    if offer.value == "application/openmetrics-text" and version in ("", "1.0.0"):
        return _escaped("application/openmetrics-text", offer, openmetrics=True)
    return None


def _escaped(media_type: str, offer: _Offer, *, openmetrics: bool) -> Format:
    asked = offer.parameters.get("escaping", "")
    escaping = asked if asked in _ESCAPINGS else _DEFAULT_ESCAPING
    content_type = f"{media_type}; version=1.0.0; charset=utf-8; escaping={escaping}"
    return Format(content_type, openmetrics, escaping)


def _offers(header: str) -> Iterator[_Offer]:
    for element in header.split(","):
        value, *rest = (part.strip() for part in element.split(";"))
        pairs = (part.partition("=") for part in rest)
        parameters = {key.strip().lower(): text.strip(' "') for key, _, text in pairs}
        yield _Offer(value.lower(), _quality(parameters.get("q", "1")), parameters)


def _quality(text: str) -> float:
    """Return the weight, 0 for one that is not between 0 and 1: such an element is not used."""
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0.0 <= quality <= 1.0 else 0.0
