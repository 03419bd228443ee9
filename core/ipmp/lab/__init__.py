"""A rootless network in namespaces for demonstrations and tests: see `topology` and `Lab`."""

from ipmp.lab.captures import Capture, Frame
from ipmp.lab.faults import Fault
from ipmp.lab.namespaces import LabError
from ipmp.lab.network import Lab
from ipmp.lab.streams import Stream, StreamResult, TcpResult, TcpStream

__all__ = [
    "Capture",
    "Fault",
    "Frame",
    "Lab",
    "LabError",
    "Stream",
    "StreamResult",
    "TcpResult",
    "TcpStream",
]
