"""The status and control API (docs/api.md): HTTP and JSON over two Unix sockets."""

from ipmp.api.controller import Controller
from ipmp.api.server import Server

__all__ = ["Controller", "Server"]
