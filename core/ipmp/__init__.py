"""IP multipathing for Linux: the shared migration core, the daemon and its tools."""

__version__ = "0.1.0"
