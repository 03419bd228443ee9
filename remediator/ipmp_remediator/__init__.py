"""The remediator: alerts in, interfaces offline and online again through the daemon's socket."""
