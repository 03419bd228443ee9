"""Loss at an interface: drop exactly N of each 100 frames, evenly spread, in and out.

    python -m ipmp.lab.loss set IFNAME PERCENT [--only ingress|egress] | clear IFNAME | show IFNAME

Runs in the network namespace of the interface. A counter and not a die: five losses in a row would
fail a probed member once in four hundred trials, and so would the test.

The rules are nftables' (linux:include/uapi/linux/netfilter/nf_tables.h), sent by netlink, so that
neither nft nor tc has to be installed; as nft would write them, for each of the two hooks:

    table netdev loss-IFNAME { set lost { type integer; elements = { 0, 4, 7, ... } }
      chain ingress { type filter hook ingress device IFNAME priority 0;
                      numgen inc mod 100 @lost drop } }
"""

from __future__ import annotations

import argparse
import errno
import os
import socket
import struct
import sys
from collections.abc import Iterable

NETLINK_NETFILTER = 12
NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE = 0x1, 0x4, 0x400
NLMSG_ERROR = 2
NLA_F_NESTED = 0x8000
NFPROTO_NETDEV = 5
NFNL_SUBSYS_NFTABLES = 10
BATCH_BEGIN, BATCH_END = 0x10, 0x11
NEWTABLE, GETTABLE, DELTABLE, NEWCHAIN, NEWRULE, NEWSET, NEWSETELEM = 0, 1, 2, 3, 6, 9, 12
HOOKS = {"ingress": 0, "egress": 1}
SET_ID = 1  # names the set within the batch that creates it
REG_VERDICT, REG_1 = 0, 1
NF_DROP = 0

Message = tuple[int, bytes]  # nftables message type, attributes


def main() -> int:
    """Set, clear or show the loss ("yes" or "no"); errors are one sentence and exit status 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    setting = actions.add_parser("set")
    setting.add_argument("ifname")
    setting.add_argument("percent", type=int)
    setting.add_argument("--only", choices=HOOKS)
    actions.add_parser("clear").add_argument("ifname")
    actions.add_parser("show").add_argument("ifname")
    args = parser.parse_args()
    try:
        if args.action == "show":
            print("yes" if has_loss(args.ifname) else "no")
        else:
            clear_loss(args.ifname)
        if args.action == "set":
            set_loss(args.ifname, args.percent, [args.only] if args.only else HOOKS)
    except OSError as error:
        print(f"cannot {args.action} loss on {args.ifname}: {error}", file=sys.stderr)
        return 1
    return 0


def lost_of_hundred(percent: int) -> tuple[int, ...]:
    """Return which frames (0-99) of each hundred are dropped, spread as evenly as can be."""
    return tuple(frame for frame in range(100) if frame * percent % 100 < percent)


def set_loss(ifname: str, percent: int, hooks: Iterable[str] = HOOKS) -> None:
    """Drop `percent` of each 100 frames at `ifname`; there must be no loss on it yet."""
    table = _text(1, _table(ifname))
    messages: list[Message] = [
        (NEWTABLE, table),
        (NEWSET, table + _text(2, "lost") + _number(4, 0) + _number(5, 4) + _number(10, SET_ID)),
        (NEWSETELEM, table + _text(2, "lost") + _nest(3, _elements(percent)) + _number(4, SET_ID)),
    ]
    for name in hooks:
        where = _nest(4, _number(1, HOOKS[name]) + _number(2, 0) + _text(3, ifname))
        messages.append((NEWCHAIN, table + _text(3, name) + where + _text(7, "filter")))
        messages.append((NEWRULE, table + _text(2, name) + _nest(4, _drop_counted())))
    _commit(messages)


def clear_loss(ifname: str) -> None:
    """End the loss on `ifname`; fine if there is none."""
    try:
        _commit([(DELTABLE, _text(1, _table(ifname)))])
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def has_loss(ifname: str) -> bool:
    """Tell whether there is a loss on `ifname`."""
    name = _text(1, _table(ifname))
    with _connect() as netlink:
        netlink.send(_message(NFNL_SUBSYS_NFTABLES << 8 | GETTABLE, 0, 1, 0, name))
        kind, code = _answer(netlink)
    if kind == NLMSG_ERROR and code != -errno.ENOENT:
        raise OSError(-code, os.strerror(-code))
    return kind != NLMSG_ERROR


def _table(ifname: str) -> str:
    return f"loss-{ifname}"


def _elements(percent: int) -> bytes:
    # The counter is kept in host byte order, unlike every number of the protocol itself.
    keys = (_nest(1, _attribute(1, struct.pack("=I", n))) for n in lost_of_hundred(percent))
    return b"".join(_nest(1, key) for key in keys)


def _drop_counted() -> bytes:
    drop = _nest(2, _nest(2, _number(1, NF_DROP)))
    return b"".join(
        (
            _expression("numgen", _number(1, REG_1) + _number(2, 100) + _number(3, 0)),
            _expression("lookup", _text(1, "lost") + _number(2, REG_1) + _number(4, SET_ID)),
            _expression("immediate", _number(1, REG_VERDICT) + drop),
        )
    )


def _expression(name: str, data: bytes) -> bytes:
    return _nest(1, _text(1, name) + _nest(2, data))


def _commit(messages: list[Message]) -> None:
    """Send one transaction and read an answer to each message; raise the first error's OSError."""
    subsystem = NFNL_SUBSYS_NFTABLES
    batch = [_message(BATCH_BEGIN, 0, 0, subsystem, b"")]
    for number, (kind, attributes) in enumerate(messages, start=1):
        flags = NLM_F_ACK | (0 if kind == DELTABLE else NLM_F_CREATE)
        batch.append(_message(subsystem << 8 | kind, flags, number, 0, attributes))
    batch.append(_message(BATCH_END, 0, len(messages) + 1, subsystem, b""))
    with _connect() as netlink:
        netlink.send(b"".join(batch))
        for _ in messages:
            kind, code = _answer(netlink)
            if kind == NLMSG_ERROR and code != 0:
                raise OSError(-code, os.strerror(-code))


def _connect() -> socket.socket:
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    netlink.bind((0, 0))
    return netlink


def _answer(netlink: socket.socket) -> tuple[int, int]:
    """Read a message; return its type and, if that is NLMSG_ERROR, its code (0 is an ACK)."""
    kind, code = struct.unpack_from("=4xH10xi", netlink.recv(65536))
    return kind, code


def _message(kind: int, flags: int, sequence: int, resource: int, attributes: bytes) -> bytes:
    body = struct.pack("!BBH", NFPROTO_NETDEV, 0, resource) + attributes
    header = struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST | flags, sequence, 0)
    return header + body


def _attribute(kind: int, value: bytes) -> bytes:
    padding = bytes(-len(value) % 4)
    return struct.pack("=HH", 4 + len(value), kind) + value + padding


def _nest(kind: int, value: bytes) -> bytes:
    return _attribute(NLA_F_NESTED | kind, value)


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("!I", value))


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


if __name__ == "__main__":
    sys.exit(main())
