"""`ipmp_fleetlock`: a FleetLock v1 server that keeps its slots in etcd."""
