"""cloud-init: does it write the network configuration of members again at boot?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec
import yaml

from ipmp.preflight.finding import Finding, Member, listing, note
from ipmp.preflight.root import Root

CONFIG = "/etc/cloud/cloud.cfg"
SWITCHED_OFF = "/etc/cloud/cloud-init.disabled"
#: Where it renders to, by the network manager that it finds.
RENDERED = (
    ("/etc/netplan", "*cloud-init*.yaml"),
    ("/etc/network/interfaces.d", "*cloud-init*"),
    ("/etc/systemd/network", "*cloud-init*.network"),
    ("/etc/NetworkManager/system-connections", "cloud-init-*"),
)


class Facts(msgspec.Struct, frozen=True):
    """The files that it has rendered and will render again, with their texts."""

    rendered: dict[str, str] = {}


def read(root: Root) -> Facts:
    """Read what cloud-init has rendered; nothing where its network part is switched off."""
    base = root.text(CONFIG)
    if base is None or root.text(SWITCHED_OFF) is not None:
        return Facts()
    directory = "/etc/cloud/cloud.cfg.d"
    more = (root.text(f"{directory}/{name}") or "" for name in root.names(directory, "*.cfg"))
    if any(_is_off(text) for text in (base, *more)):
        return Facts()
    paths = (
        f"{place}/{name}" for place, pattern in RENDERED for name in root.names(place, pattern)
    )
    return Facts({path: root.text(path) or "" for path in paths})


def judge(facts: Facts, members: Sequence[Member]) -> Iterator[Finding]:
    """Find rendered files that name a member."""
    for path, text in facts.rendered.items():
        named = [m.name for m in members if _names(text, m)]
        if named:
            yield note(
                f"cloud-init writes {path}, which configures {listing(named)}, again for every new "
                "instance; to edit it by hand write `network: {config: disabled}` into "
                "/etc/cloud/cloud.cfg.d/99-ipmp.cfg"
            )


def _names(text: str, member: Member) -> bool:
    word = re.escape(member.name)
    by_name = re.search(rf"(?<![\w.-]){word}(?![\w.-])", text)
    return bool(by_name or (member.hwaddr and member.hwaddr in text.lower()))


def _is_off(text: str) -> bool:
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return False
    network = document.get("network") if isinstance(document, dict) else None
    return isinstance(network, dict) and network.get("config") == "disabled"
