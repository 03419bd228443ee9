"""FleetLock: the values of the protocol, a client for it, and `fleet.toml`."""
