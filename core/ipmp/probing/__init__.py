"""Probe-based failure detection, sans-IO (ipmp-semantics 2.5 to 2.8).

`inquire` says what the kernel must be asked, `arrange` what to probe, `Engine` probes it, and
`vouchers` tells the failure of a member from that of the group. Packets are made in `ipmp.kernel`.
"""

from ipmp.probing.arrange import arrange, inquire
from ipmp.probing.engine import Engine
from ipmp.probing.values import (
    Candidates,
    Counters,
    Inquiry,
    Method,
    Mode,
    Nearby,
    Outcome,
    Path,
    Probe,
    Rejection,
    Reply,
    Setup,
    Standing,
    TargetRow,
    Turn,
)
from ipmp.probing.verdict import View, vouchers

__all__ = [
    "Candidates",
    "Counters",
    "Engine",
    "Inquiry",
    "Method",
    "Mode",
    "Nearby",
    "Outcome",
    "Path",
    "Probe",
    "Rejection",
    "Reply",
    "Setup",
    "Standing",
    "TargetRow",
    "Turn",
    "View",
    "arrange",
    "inquire",
    "vouchers",
]
