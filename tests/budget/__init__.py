"""Kill budget servers, etcd and hosts at random while hosts drain (`make budget`)."""
