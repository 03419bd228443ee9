"""The exporter: the state of IPMP groups as Prometheus metrics and as a page for people."""
