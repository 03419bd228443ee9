"""`ipmp_remediator route`: split Alertmanager's notifications by host and pass the parts on.

Stateless: any number of replicas run behind an Alertmanager pair. Nothing is kept, decided or
deduplicated here; Alertmanager's own retry carries what could not be delivered, and each host's
remediator knows what it has already.
"""
