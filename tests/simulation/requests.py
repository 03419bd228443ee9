"""Netlink messages for the simulated kernel: the bytes that the daemon would send to Linux."""

from __future__ import annotations

from ipmp.kernel import codec
from ipmp.kernel.netlink import HEADER, NLM_F_REPLACE
from tests.simulation import routes
from tests.simulation.kernel import SimulatedKernel
from tests.simulation.payloads import Held, requested_address


def request(kernel: SimulatedKernel, message: bytes, by: object | None = None) -> None:
    """Carry out one message; raises OSError when the kernel refuses it."""
    _, kind, flags, _, _ = HEADER.unpack_from(message)
    payload = message[HEADER.size :]
    if kind == codec.RTM_NEWADDR and flags & NLM_F_REPLACE:
        kernel.change_metric(_address(kernel, payload), by)
    elif kind == codec.RTM_NEWADDR:
        kernel.add(_address(kernel, payload), by)
    elif kind == codec.RTM_DELADDR:
        kernel.delete(_address(kernel, payload), by)
    elif kind == codec.RTM_NEWROUTE:
        routes.new(kernel, payload, flags, by)
    elif kind == codec.RTM_DELROUTE:
        routes.delete(kernel, payload, by)
    else:
        raise AssertionError(f"no message of type {kind} was expected")


def _address(kernel: SimulatedKernel, payload: bytes) -> Held:
    return requested_address(payload, kernel.device(codec.address_index(payload)).name)
