"""The values of `route.toml`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import msgspec

from ipmp.serving.document import DocumentError, Duration, read
from ipmp.serving.tls import ClientTls, ServerTls

_LabelName = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z_][A-Za-z0-9_]*\Z")]
_Positive = Annotated[int, msgspec.Meta(ge=1, le=100_000)]

_HOST_PLACE = "{host}"


class Targets(msgspec.Struct, frozen=True):
    """Where the remediators are: a Prometheus file-sd file, or a template for the URL."""

    file: Path | None = None
    template: str = ""
    template_hosts: str = ""  # the regular expression that a host must match to be put into it


class Limits(msgspec.Struct, frozen=True):
    """How much is taken in and how much is done at a time."""

    body: Annotated[int, msgspec.Meta(ge=1024, le=1 << 30)] = 16 << 20  # bytes
    alerts: _Positive = 20_000
    notifications: _Positive = 64  # in progress; more get 503
    connections: _Positive = 256  # to hosts, at a time
    host_timeout: Duration = Duration(4.0)
    timeout: Duration = Duration(9.0)  # below Alertmanager's least deadline, 10 s


class RouteConfig(msgspec.Struct, frozen=True):
    """A checked `route.toml`."""

    targets: Targets
    hosts_tls: ClientTls  # how we prove to hosts who we are
    host_label: _LabelName = "instance"
    path: Annotated[str, msgspec.Meta(pattern=r"\A/[!-~]*\Z")] = "/alerts"
    hosts_token_file: Path | None = None  # a bearer token for the hosts, besides
    token_file: Path | None = None  # what Alertmanager must send
    tls: ServerTls | None = None
    client_allowed_sans: frozenset[str] = frozenset()
    limits: Limits = Limits()


def load(path: Path) -> RouteConfig:
    """Read the file; raise DocumentError with all of its mistakes."""
    config = read(path, RouteConfig)
    errors = list(_contradictions(config))
    if errors:
        raise DocumentError([f"{path}: {error}" for error in errors])
    return config


def _contradictions(config: RouteConfig) -> list[str]:
    errors = []
    targets, tls = config.targets, config.hosts_tls
    if bool(targets.file) == bool(targets.template):
        errors.append("targets must have either file or template")
    if targets.template:
        errors += _template(targets)
    if not (tls.cert_file and tls.key_file):
        errors.append("hosts_tls needs cert_file and key_file: hosts ask who sends")
    if config.client_allowed_sans and not (config.tls and config.tls.client_ca_file):
        errors.append("client_allowed_sans needs tls.client_ca_file")
    limits = config.limits
    if not 0 < limits.host_timeout <= limits.timeout <= 60:
        errors.append("limits.host_timeout must not exceed limits.timeout, nor that 60s")
    return errors


def _template(targets: Targets) -> list[str]:
    errors = []
    if not targets.template.startswith("https://") or targets.template.count(_HOST_PLACE) != 1:
        errors.append(
            "targets.template must begin with https:// and contain {host} once, for example "
            '"https://{host}:10089/alerts"'
        )
    try:
        re.compile(targets.template_hosts)
    except re.error as error:
        errors.append(f"targets.template_hosts is not a regular expression: {error}")
    if not targets.template_hosts:
        errors.append(
            "targets.template_hosts is missing: a regular expression for the hosts that alerts may "
            "name, or a label could send notifications anywhere"
        )
    return errors
