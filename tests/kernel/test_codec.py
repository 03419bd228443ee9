"""Our codec held against pyroute2's: what one encodes, the other decodes to the same fields."""

from __future__ import annotations

import socket
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from pyroute2.netlink import nla
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from ipmp.kernel import codec, link_codec, route_codec
from ipmp.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NLM_F_REQUEST,
    attribute,
    request,
)
from ipmp.world import (
    AF_INET,
    AF_INET6,
    IFA_F_DEPRECATED,
    IFA_F_NODAD,
    IFA_F_PERMANENT,
    IFA_F_SECONDARY,
    OWNER,
    Link,
    Route,
)

HEADER_BYTES = 16
RTN_BLACKHOLE = 6
DEPRECATED = {"ifa_preferred": 0, "ifa_valid": 0xFFFFFFFF, "cstamp": 0, "tstamp": 0}


def encoded(message: Any, attributes: dict[str, Any], **fields: int) -> bytes:
    """The payload that pyroute2 makes of these fields."""
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = list(attributes.items())
    message.encode()
    return bytes(message.data)[HEADER_BYTES:]


def decoded(message: type, data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields and attributes that pyroute2 finds in a whole message."""
    found = message(data)
    found.decode()
    assert found["header"]["length"] == len(data)
    return found, {name: _plain(value) for name, value in found["attrs"]}


def _plain(value: Any) -> Any:
    """What a nested attribute holds, as `encoded` takes it."""
    if not isinstance(value, nla):
        return value
    found = value.getvalue()
    return {"attrs": [tuple(a) for a in found["attrs"]]} if found.get("attrs") else dict(found)


# Addresses --------------------------------------------------------------------------------------

ipv4s = st.ip_addresses(v=4).map(str)
ipv6s = st.binary(min_size=16, max_size=16).map(partial(socket.inet_ntop, AF_INET6))
ifindices = st.integers(1, 2**31 - 1)
bytes_ = st.integers(0, 255)
words = st.integers(0, 2**32 - 1)
labels = st.text("abcdefghijklmnopqrstuvwxyz0123456789:._-", min_size=1, max_size=15)


@st.composite
def found_addresses(draw: st.DrawFn) -> tuple[dict[str, int], dict[str, Any]]:
    """Fields and attributes of an address as a kernel may dump it."""
    family = draw(st.sampled_from((AF_INET, AF_INET6)))
    ip = ipv4s if family == AF_INET else ipv6s
    flags = draw(words)
    fields = {
        "family": family,
        "prefixlen": draw(st.integers(0, 32 if family == AF_INET else 128)),
        "flags": flags & 0xFF,
        "scope": draw(bytes_),
        "index": draw(ifindices),
    }
    attributes: dict[str, Any] = {"IFA_ADDRESS": draw(ip)}
    if family == AF_INET:
        attributes["IFA_LOCAL"] = attributes["IFA_ADDRESS"]
        attributes["IFA_LABEL"] = draw(labels)
        attributes["IFA_BROADCAST"] = draw(ip)
    if draw(st.booleans()):
        attributes["IFA_LOCAL"] = draw(ip)
    if draw(st.booleans()):
        attributes["IFA_PROTO"] = draw(bytes_)
    if draw(st.booleans()):
        attributes["IFA_RT_PRIORITY"] = draw(words)
    lifetimes = {name: draw(words) for name in ("ifa_preferred", "ifa_valid", "cstamp", "tstamp")}
    attributes |= {"IFA_FLAGS": flags, "IFA_CACHEINFO": lifetimes}
    return fields, attributes


@settings(deadline=None)
@given(found=found_addresses())
def test_an_address_that_pyroute2_encodes_is_read(
    found: tuple[dict[str, int], dict[str, Any]],
) -> None:
    fields, attributes = found
    payload = encoded(ifaddrmsg(), attributes, **fields)
    address = codec.parse_address(payload, "ni0")
    far = attributes["IFA_ADDRESS"]
    own = attributes.get("IFA_LOCAL", far)
    assert address.key == f"{own}/{fields['prefixlen']}"
    assert address.peer == ("" if own == far else far)
    assert (address.family, address.scope) == (fields["family"], fields["scope"])
    assert address.flags == attributes["IFA_FLAGS"]
    assert address.proto == attributes.get("IFA_PROTO", 0)
    assert address.label == attributes.get("IFA_LABEL", "")
    assert codec.address_index(payload) == fields["index"]


@settings(deadline=None)
@given(found=found_addresses(), stamps=st.tuples(words, words))
def test_an_address_that_was_made_anew_is_no_other_address(
    found: tuple[dict[str, int], dict[str, Any]], stamps: tuple[int, int]
) -> None:
    fields, attributes = found
    anew = dict(zip(("cstamp", "tstamp"), stamps, strict=True))
    later = attributes | {"IFA_CACHEINFO": attributes["IFA_CACHEINFO"] | anew}
    before, after = (
        codec.parse_address(encoded(ifaddrmsg(), told, **fields), "ni0")
        for told in (attributes, later)
    )
    assert before == after


@settings(deadline=None)
@given(found=found_addresses(), ifindex=ifindices, label=labels | st.just(""), proto=bytes_)
def test_the_copy_of_an_address_is_what_pyroute2_reads(
    found: tuple[dict[str, int], dict[str, Any]], ifindex: int, label: str, proto: int
) -> None:
    fields, attributes = found
    address = codec.parse_address(encoded(ifaddrmsg(), attributes, **fields), "ni0")
    message, copied = decoded(
        ifaddrmsg, codec.add_address(codec.spec_of(address), ifindex, label, proto)
    )
    assert message["header"]["type"] == codec.RTM_NEWADDR
    assert message["header"]["flags"] == NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL
    assert message["index"] == ifindex
    for name in ("family", "prefixlen", "scope"):
        assert message[name] == fields[name]
    ipv6 = fields["family"] == AF_INET6
    flags = attributes["IFA_FLAGS"] & codec.PORTABLE_FLAGS | (IFA_F_NODAD if ipv6 else 0)
    expected = attributes | {"IFA_FLAGS": flags, "IFA_LABEL": label, "IFA_PROTO": proto}
    expected["IFA_CACHEINFO"] = DEPRECATED
    unwanted = {
        "IFA_LABEL": ipv6 or not label,
        "IFA_PROTO": not proto,
        "IFA_CACHEINFO": not attributes["IFA_FLAGS"] & IFA_F_DEPRECATED,
    }
    assert copied == {n: v for n, v in expected.items() if not unwanted.get(n)}


@settings(deadline=None)
@given(ip=ipv4s | ipv6s, prefixlen=st.integers(0, 32), ifindex=ifindices)
def test_a_declared_address_is_what_pyroute2_reads(ip: str, prefixlen: int, ifindex: int) -> None:
    spec = codec.declared_spec(f"{ip}/{prefixlen}")
    message, attributes = decoded(ifaddrmsg, codec.add_address(spec, ifindex, "", OWNER))
    assert (message["index"], message["prefixlen"]) == (ifindex, prefixlen)
    assert attributes["IFA_LOCAL"] == attributes["IFA_ADDRESS"] == ip
    assert attributes["IFA_PROTO"] == OWNER


@settings(deadline=None)
@given(
    ips=st.tuples(ipv4s, ipv4s) | st.tuples(ipv6s, ipv6s),
    with_peer=st.booleans(),
    prefixlen=st.integers(0, 32),
    ifindex=ifindices,
)
def test_a_deletion_is_what_pyroute2_reads(
    ips: tuple[str, str], with_peer: bool, prefixlen: int, ifindex: int
) -> None:
    own, peer = ips[0], ips[1] if with_peer else ""
    data = codec.delete_address(f"{own}/{prefixlen}", ifindex, peer)
    message, attributes = decoded(ifaddrmsg, data)
    assert message["header"]["type"] == codec.RTM_DELADDR
    assert (message["index"], message["prefixlen"]) == (ifindex, prefixlen)
    assert attributes == {"IFA_LOCAL": own, "IFA_ADDRESS": peer or own}


# Routes -----------------------------------------------------------------------------------------


@st.composite
def found_routes(draw: st.DrawFn) -> tuple[dict[str, int], dict[str, Any]]:
    """Fields and attributes of a route of ours as a kernel may dump it."""
    family = draw(st.sampled_from((AF_INET, AF_INET6)))
    bits = 32 if family == AF_INET else 128
    ip = ipv4s if family == AF_INET else ipv6s
    length = draw(st.integers(0, bits))
    table = draw(st.integers(1, 254) | st.integers(256, 2**32 - 1))
    fields = {
        "family": family,
        "dst_len": length,
        "src_len": 0,
        "tos": draw(bytes_),
        "table": table if table < 256 else 252,  # RT_TABLE_COMPAT
        "proto": draw(st.sampled_from((3, 4, 5, OWNER))),
        "scope": draw(bytes_),
        "type": route_codec.RTN_UNICAST,
        "flags": draw(words),
    }
    attributes: dict[str, Any] = {"RTA_TABLE": table, "RTA_OIF": draw(ifindices)}
    if length:
        attributes["RTA_DST"] = draw(ip)
    if family == AF_INET6 and draw(st.booleans()):
        fields["src_len"], attributes["RTA_SRC"] = draw(st.integers(1, bits)), draw(ip)
    for name, values in (
        ("RTA_GATEWAY", ip),
        ("RTA_PREFSRC", ip),
        ("RTA_PRIORITY", words),
        ("RTA_FLOW", words),
        ("RTA_PREF", st.integers(0, 3)),
        ("RTA_METRICS", st.just({"attrs": [("RTAX_MTU", 1400), ("RTAX_ADVMSS", 1200)]})),
    ):
        if draw(st.booleans()):
            attributes[name] = draw(values)
    return fields, attributes


def parsed(fields: dict[str, int], attributes: dict[str, Any]) -> Route | None:
    return route_codec.parse_route(encoded(rtmsg(), attributes, **fields), "ni0")


@settings(deadline=None)
@given(found=found_routes())
def test_a_route_that_pyroute2_encodes_is_read(
    found: tuple[dict[str, int], dict[str, Any]],
) -> None:
    fields, attributes = found
    destination = (
        f"{attributes.get('RTA_DST')}/{fields['dst_len']}" if fields["dst_len"] else "default"
    )
    route = parsed(fields, attributes)
    if fields["src_len"]:
        destination += f" from {attributes['RTA_SRC']}/{fields['src_len']}"
    if destination.startswith(("fe80:", "ff00:")):
        assert route is None
        return
    assert route is not None
    key = route.key
    assert (key.family, key.table) == (fields["family"], attributes["RTA_TABLE"])
    assert (key.tos, key.metric) == (fields["tos"], attributes.get("RTA_PRIORITY", 0))
    assert key.destination == destination
    assert route.protocol == fields["proto"]
    assert route.gateway == attributes.get("RTA_GATEWAY")
    assert route.source == attributes.get("RTA_PREFSRC")
    assert route.onlink == bool(fields["flags"] & route_codec.RTNH_F_ONLINK)
    assert route_codec.route_index(route.raw) == attributes["RTA_OIF"]


@settings(deadline=None)
@given(found=found_routes(), other=words, expires=st.integers(0, 2**31 - 1))
def test_a_route_whose_link_has_gone_down_is_no_other_route(
    found: tuple[dict[str, int], dict[str, Any]], other: int, expires: int
) -> None:
    fields, attributes = found
    onlink = fields["flags"] & route_codec.RTNH_F_ONLINK
    later = fields | {"flags": other & ~route_codec.RTNH_F_ONLINK | onlink}
    ages = {"RTA_CACHEINFO": {"rta_expires": expires}} if fields["family"] == AF_INET6 else {}
    assert parsed(fields, attributes) == parsed(later, attributes | ages)


def test_a_route_that_an_older_version_has_kept_is_sent_without_its_state() -> None:
    fields = {"family": AF_INET6, "dst_len": 0, "table": 254, "proto": 4}
    fields |= {"type": route_codec.RTN_UNICAST, "flags": 0x11}  # RTNH_F_DEAD, RTNH_F_LINKDOWN
    attributes = {"RTA_OIF": 3, "RTA_CACHEINFO": {"rta_expires": 1}}
    route = parsed(fields, attributes)
    assert route is not None
    kept = replace(route, raw=encoded(rtmsg(), attributes, **fields))
    message, sent = decoded(rtmsg, route_codec.replace_route(kept, 4, OWNER))
    assert message["flags"] == 0
    assert sent == {"RTA_OIF": 4}


@settings(deadline=None)
@given(found=found_routes(), ifindex=ifindices, protocol=bytes_)
def test_a_route_that_is_sent_back_is_what_pyroute2_reads(
    found: tuple[dict[str, int], dict[str, Any]], ifindex: int, protocol: int
) -> None:
    fields, attributes = found
    route = parsed(fields, attributes)
    if route is None:
        return
    expected = attributes | {"RTA_OIF": ifindex}
    onlink = fields["flags"] & route_codec.RTNH_F_ONLINK
    for data, kind, flags, proto in (
        (
            route_codec.replace_route(route, ifindex, protocol),
            codec.RTM_NEWROUTE,
            NLM_F_CREATE | NLM_F_REPLACE,
            protocol,
        ),
        (route_codec.delete_route(route, ifindex), codec.RTM_DELROUTE, 0, fields["proto"]),
    ):
        message, sent = decoded(rtmsg, data)
        assert message["header"]["type"] == kind
        assert message["header"]["flags"] == NLM_F_REQUEST | flags
        assert sent == expected
        for name in fields.keys() - {"flags", "proto"}:
            assert message[name] == fields[name]
        assert (message["flags"], message["proto"]) == (onlink, proto)


@settings(deadline=None)
@given(found=found_routes(), data=st.data())
def test_routes_that_are_not_ours_are_left_alone(
    found: tuple[dict[str, int], dict[str, Any]], data: st.DataObject
) -> None:
    fields, attributes = found
    hops = [{"hops": 0, "oif": 3, "flags": 0, "attrs": []}]
    others: list[tuple[dict[str, int], dict[str, Any]]] = [
        ({"type": RTN_BLACKHOLE}, {}),
        ({"table": route_codec.TABLE_LOCAL}, {"RTA_TABLE": route_codec.TABLE_LOCAL}),
        ({"proto": data.draw(st.sampled_from(sorted(route_codec.OTHER_OWNERS)))}, {}),
        ({}, {"RTA_MULTIPATH": hops}),
    ]
    changed_fields, changed_attributes = data.draw(st.sampled_from(others))
    assert parsed(fields | changed_fields, attributes | changed_attributes) is None


def test_routes_by_nexthop_objects_and_other_families_are_left_alone() -> None:
    fields = {
        "family": AF_INET,
        "dst_len": 0,
        "table": 254,
        "proto": 4,
        "type": route_codec.RTN_UNICAST,
    }
    payload = encoded(rtmsg(), {"RTA_OIF": 3}, **fields)
    assert route_codec.parse_route(payload, "ni0") is not None
    for kind in (route_codec.RTA_NH_ID, route_codec.RTA_VIA):
        assert route_codec.parse_route(payload + attribute(kind, bytes(4)), "ni0") is None


# Links and dumps --------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    name=st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=15),
    ifindex=ifindices,
    flags=words,
    carrier=st.none() | st.booleans(),
    mtu=words,
    hwaddr=st.none() | st.binary(min_size=6, max_size=6).map(lambda packed: packed.hex(":")),
    type_=st.integers(0, 0xFFFF),
    losses=words,
)
def test_a_link_that_pyroute2_encodes_is_read(
    name: str,
    ifindex: int,
    flags: int,
    carrier: bool | None,
    mtu: int,
    hwaddr: str | None,
    type_: int,
    losses: int,
) -> None:
    attributes: dict[str, Any] = {"IFLA_IFNAME": name, "IFLA_MTU": mtu}
    attributes["IFLA_CARRIER_DOWN_COUNT"] = losses
    if carrier is not None:
        attributes["IFLA_CARRIER"] = int(carrier)
    if hwaddr is not None:
        attributes["IFLA_ADDRESS"] = hwaddr
    payload = encoded(ifinfmsg(), attributes, index=ifindex, flags=flags, ifi_type=type_)
    assert link_codec.parse_link(payload) == Link(
        name,
        ifindex,
        bool(flags & link_codec.IFF_UP),
        carrier,
        hwaddr or "",
        mtu,
        type_,
        losses,
        ipv6=False,  # IFLA_AF_SPEC says so, which these messages have not
    )


@settings(deadline=None)
@given(counters=st.tuples(words, words), carriers=st.tuples(st.booleans(), st.booleans()))
def test_an_answer_tells_the_same_when_only_packets_have_passed(
    counters: tuple[int, int], carriers: tuple[bool, bool]
) -> None:
    first, second = (
        _answer(
            {
                "IFLA_IFNAME": "ni0",
                "IFLA_CARRIER": int(carrier),
                "IFLA_STATS64": {"rx_packets": count},
                "IFLA_STATS": {"rx_packets": count},
                "IFLA_MTU": 1500,
            }
        )
        for count, carrier in zip(counters, carriers, strict=True)
    )
    answer = link_codec.parse_answer(first)
    assert answer is not None
    assert (answer.link.name, answer.link.carrier, answer.link.mtu) == ("ni0", carriers[0], 1500)
    assert answer.is_told_by(second) == (carriers[0] == carriers[1])
    assert not answer.is_told_by(first + b"\0" * 4)


def _answer(attributes: dict[str, Any]) -> bytes:
    payload = encoded(ifinfmsg(), attributes, index=2)
    return request(codec.RTM_NEWLINK, 0, payload)


def test_a_link_request_is_what_pyroute2_reads() -> None:
    message, attributes = decoded(ifinfmsg, link_codec.link_request("ni0"))
    assert message["header"]["type"] == codec.RTM_GETLINK
    assert attributes == {"IFLA_IFNAME": "ni0", "IFLA_EXT_MASK": link_codec.RTEXT_FILTER_SKIP_STATS}
    message, attributes = decoded(ifinfmsg, link_codec.link_request_by_index(7))
    assert (message["header"]["type"], message["index"]) == (codec.RTM_GETLINK, 7)
    assert attributes == {"IFLA_EXT_MASK": link_codec.RTEXT_FILTER_SKIP_STATS}


def test_dump_requests_are_what_pyroute2_reads() -> None:
    message, _ = decoded(ifaddrmsg, codec.address_dump(AF_INET6))
    assert (message["header"]["type"], message["header"]["flags"]) == (codec.RTM_GETADDR, 0x301)
    assert (message["family"], message["index"]) == (AF_INET6, 0)
    message, attributes = decoded(rtmsg, route_codec.route_dump(AF_INET, 7))
    assert (message["header"]["type"], message["header"]["flags"]) == (codec.RTM_GETROUTE, 0x301)
    assert (message["family"], message["type"]) == (AF_INET, route_codec.RTN_UNICAST)
    assert attributes == {"RTA_OIF": 7}


def test_flags_of_one_member_do_not_travel() -> None:
    fields = {"family": AF_INET, "prefixlen": 24, "flags": 0, "scope": 0, "index": 3}
    flags = IFA_F_PERMANENT | IFA_F_SECONDARY
    attributes = {"IFA_LOCAL": "192.0.2.1", "IFA_ADDRESS": "192.0.2.1", "IFA_FLAGS": flags}
    address = codec.parse_address(encoded(ifaddrmsg(), attributes, **fields), "ni0")
    assert codec.spec_of(address).flags == 0


def test_the_metric_of_a_route_that_was_left_away_is_not_the_address_s_own() -> None:
    """Found so after a crash; what is spread takes its metric from there."""
    fields = {"family": AF_INET, "prefixlen": 24, "flags": 0, "scope": 0, "index": 3}
    attributes = {"IFA_LOCAL": "192.0.2.1", "IFA_ADDRESS": "192.0.2.1"}
    for metric, own in ((codec.AWAY, 0), (7, 7)):
        more = attributes | {"IFA_RT_PRIORITY": metric}
        address = codec.parse_address(encoded(ifaddrmsg(), more, **fields), "ni0")
        spec = codec.spec_of(address)
        assert spec.metric == own
        back = codec.shift_route(address, spec, 3, away=False)
        assert decoded(ifaddrmsg, back)[1]["IFA_RT_PRIORITY"] == own
