"""What the servers of a fleet share: a strict TOML file, TLS with renewal, who may ask, listening.

`ipmp_remediator route` and `ipmp_fleetlock` are built on it.
"""
