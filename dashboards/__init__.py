"""Grafana dashboards: the JSON files that ship, and the code that they are built from."""
