"""The daemon: one runner a group, the operations, reload and signals."""
