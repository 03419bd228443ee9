"""Probe-based failure detection, sans-IO (ipmp-semantics 2.5 to 2.8)."""
