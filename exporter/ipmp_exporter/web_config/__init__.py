"""TLS, authentication, headers and rate limit, in the format of the Prometheus exporter toolkit."""

from ipmp_exporter.web_config.document import WebConfigError
from ipmp_exporter.web_config.guard import Guard
from ipmp_exporter.web_config.schema import WebConfig, load

__all__ = ["Guard", "WebConfig", "WebConfigError", "load"]
