"""The packets of probes, byte by byte, and what is not taken for an answer."""

from __future__ import annotations

import socket
import struct

import pytest

from ipmp.kernel import probe_frames as frames
from ipmp.kernel.bpf import LD_B_ABS, LD_H_ABS, accept_if
from ipmp.kernel.frames import checksum

OURS, THEIRS = bytes.fromhex("020000000010"), bytes.fromhex("020000000001")
SOURCE, TARGET = "fe80::10", "2001:db8::1:2:3"
NONCE = b"12345678"


def test_an_arp_probe_is_a_request_from_nobody_to_the_whole_link() -> None:
    frame = frames.arp_probe(OURS, "192.0.2.1")
    assert frame.hex() == (
        "ffffffffffff" "020000000010" "0806" "0001" "0800" "06" "04" "0001"
        "020000000010" "00000000" "000000000000" "c0000201"
    )  # fmt: skip
    assert frames.arp_probe(OURS, "192.0.2.1", THEIRS)[:6] == THEIRS


def arp(operation: int = 2, *, to: bytes = OURS, sender: str = "192.0.2.1") -> bytes:
    ethernet = OURS + THEIRS + b"\x08\x06"
    return ethernet + frames.ARP.pack(
        1, 0x0800, 6, 4, operation, THEIRS, socket.inet_aton(sender), to, b"\0" * 4
    )


def test_an_arp_reply_to_our_mac_is_an_answer_and_anything_else_only_word_of_its_sender() -> None:
    answer = frames.parse_arp(arp(), OURS)
    assert answer == frames.Heard("192.0.2.1", THEIRS, True)
    for other in (arp(1), arp(2, to=THEIRS)):
        heard = frames.parse_arp(other, OURS)
        assert heard is not None
        assert not heard.answer
    assert frames.parse_arp(arp()[:30], OURS) is None
    assert frames.parse_arp(arp()[:14] + b"\0\6" + arp()[16:], OURS) is None


def test_a_solicitation_goes_to_the_solicited_node_group_of_the_target() -> None:
    frame = frames.solicitation(OURS, SOURCE, TARGET)
    assert frame[:14].hex() == "3333ff020003" "020000000010" "86dd"  # fmt: skip
    _, length, following, hops, source, to = frames.IPV6_HEAD.unpack_from(frame, 14)
    assert (length, following, hops) == (32, 58, 255)
    assert socket.inet_ntop(socket.AF_INET6, source) == SOURCE
    assert socket.inet_ntop(socket.AF_INET6, to) == "ff02::1:ff02:3"
    body = frame[54:]
    assert (body[0], body[1]) == (135, 0)
    assert socket.inet_ntop(socket.AF_INET6, body[8:24]) == TARGET
    assert body[24:] == bytes((1, 1)) + OURS
    assert checksum(source + to + struct.pack("!II", length, 58) + body) == 0


def test_a_solicitation_to_one_station_goes_to_the_target_itself() -> None:
    frame = frames.solicitation(OURS, SOURCE, TARGET, THEIRS)
    assert frame[:6] == THEIRS
    assert socket.inet_ntop(socket.AF_INET6, frame[38:54]) == TARGET


def advertisement(
    *, hops: int = 255, flags: int = 0x60, to: str = SOURCE, kind: int = 136, options: bytes = b""
) -> bytes:
    own, destination = (socket.inet_pton(socket.AF_INET6, a) for a in ("fe80::1", to))
    body = struct.pack("!BBHI", kind, 0, 0, flags << 24)
    body += socket.inet_pton(socket.AF_INET6, TARGET) + options
    pseudo = own + destination + struct.pack("!II", len(body), 58)
    body = body[:2] + checksum(pseudo + body).to_bytes(2, "big") + body[4:]
    head = frames.IPV6_HEAD.pack(0x60000000, len(body), 58, hops, own, destination)
    return OURS + THEIRS + b"\x86\xdd" + head + body


def test_an_advertisement_names_its_station_or_comes_from_it() -> None:
    named = bytes.fromhex("0e00000000000000" "0201" "0a0b0c0d0e0f")  # fmt: skip
    named = bytes((14, 1)) + b"\0" * 6 + named[8:]
    assert frames.parse_advertisement(advertisement(options=named), SOURCE) == frames.Heard(
        TARGET, bytes.fromhex("0a0b0c0d0e0f"), True
    )
    assert frames.parse_advertisement(advertisement(), SOURCE) == frames.Heard(TARGET, THEIRS, True)


@pytest.mark.parametrize(
    "forged",
    [
        advertisement(hops=254),
        advertisement(flags=0x20),
        advertisement(to="ff02::1"),
        advertisement(to="fe80::11"),
        advertisement(kind=135),
        advertisement()[:-1],
        advertisement()[:-1] + b"\xff",
        advertisement()[:60],
        b"",
    ],
    ids=[
        "from-beyond-a-router",
        "unsolicited",
        "to-all",
        "to-somebody-else",
        "solicitation",
        "cut",
        "bad-checksum",
        "short",
        "empty",
    ],
)
def test_what_is_no_answer_to_our_solicitation(forged: bytes) -> None:
    assert frames.parse_advertisement(forged, SOURCE) is None


def test_echo_requests_and_the_replies_to_them() -> None:
    request = frames.echo_request(0x1234, 7, NONCE)
    assert request[:2] == b"\x08\0"
    assert checksum(request) == 0
    head = bytes((0x46,)) + b"\0" * 23
    reply = b"\0\0" + request[2:]
    assert frames.parse_echo(head + reply) == frames.Echo(0x1234, 7, NONCE)
    assert frames.parse_echo6(b"\x81\0" + request[2:]) == frames.Echo(0x1234, 7, NONCE)


@pytest.mark.parametrize("packet", [b"", b"\x45", b"\x45" + b"\0" * 20, b"\x4f" + b"\0" * 30])
def test_a_cut_echo_reply_is_none(packet: bytes) -> None:
    assert frames.parse_echo(packet) is None


def test_another_icmp_message_is_no_echo_reply() -> None:
    request = frames.echo_request(1, 1, NONCE)
    assert frames.parse_echo(b"\x45" + b"\0" * 19 + request) is None
    assert frames.parse_echo6(request) is None
    assert frames.parse_echo6(b"\x81\1" + request[2:]) is None


def test_a_filter_goes_on_behind_the_program_when_a_test_fails() -> None:
    code = list(accept_if(((LD_H_ABS, 20, 2), (LD_B_ABS, 36, 9)), 64))
    assert code == [
        (0x28, 0, 0, 20),
        (0x15, 0, 3, 2),
        (0x30, 0, 0, 36),
        (0x15, 0, 1, 9),
        (0x06, 0, 0, 64),
    ]
