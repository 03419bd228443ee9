"""Where the remediator of a host is: by a file-sd file, read again when it changes, or a template.

The host of an alert is its host label without a port. In a file-sd file it is found by the same
label of a target group, when the group has it (then the group has one target), or else by the
target's own address.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Protocol

import msgspec
import structlog
import yaml

from ipmp_remediator.route.config import RouteConfig

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252})|[0-9a-fA-F:.]{2,45}")

_log = structlog.get_logger()


class TargetsError(Exception):
    """The file of targets cannot be used; the message says why."""


class _TargetGroup(msgspec.Struct, frozen=True):
    """One group of a file-sd file."""

    targets: tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=300)], ...]
    labels: dict[str, str] = {}


class Targets(Protocol):
    """Finds the remediator of a host."""

    def url(self, host: str) -> str | None:
        """Return where to post to, None when the host is not known."""


def host_of(label: str) -> str | None:
    """Return the host in a label such as `db7.example:10088` or `[fd00::7]:10088`, else None."""
    text = label
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return text.lower() if _HOST.fullmatch(text) else None


class TemplateTargets:
    """Every host that matches a pattern has its remediator at a URL of one form."""

    def __init__(self, template: str, hosts: str) -> None:
        self._template = template
        self._hosts = re.compile(hosts)

    def url(self, host: str) -> str | None:
        """Return where to post to."""
        if not self._hosts.fullmatch(host):
            return None
        return self._template.replace("{host}", f"[{host}]" if ":" in host else host)


class FileTargets:
    """The hosts of a Prometheus file-sd file, JSON or YAML."""

    def __init__(self, path: Path, label: str, url_path: str) -> None:
        """Read the file; raise TargetsError."""
        self._path = path
        self._label = label
        self._url_path = url_path
        self._seen = self._look()
        self._urls = self._read()

    def __len__(self) -> int:
        return len(self._urls)

    def url(self, host: str) -> str | None:
        """Return where to post to, by the file as it is now."""
        self.refresh()
        return self._urls.get(host)

    def refresh(self) -> None:
        """Read the file again if it has changed; a damaged one leaves the old targets in force."""
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._urls = self._read()
            _log.info("the targets were read again", targets=len(self._urls))
        except TargetsError as error:
            _log.error(f"the targets were not read again, the old ones stay in force: {error}")

    def _look(self) -> tuple[int, int, int]:
        try:
            stat = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return (stat.st_mtime_ns, stat.st_size, stat.st_ino)

    def _read(self) -> dict[str, str]:
        try:
            text = self._path.read_text(encoding="utf-8")
            document = _parse(text, yaml_form=self._path.suffix in (".yml", ".yaml"))
            groups = msgspec.convert(document, tuple[_TargetGroup, ...])
        except OSError as error:
            raise TargetsError(f"cannot read {self._path}: {error.strerror}") from error
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            why = str(error).partition("\n")[0]
            raise TargetsError(f"{self._path} is no file-sd file: {why}") from error
        urls: dict[str, str] = {}
        for group in groups:
            for target in group.targets:
                self._add(urls, group, target)
        return urls

    def _add(self, urls: dict[str, str], group: _TargetGroup, target: str) -> None:
        label = group.labels.get(self._label)
        host = host_of(label if label is not None else target)
        if host is None or host_of(target) is None:
            raise TargetsError(f"{self._path}: {label or target!r} is not a host")
        url = f"https://{target}{self._url_path}"
        if urls.setdefault(host, url) != url:
            raise TargetsError(f"{self._path}: {host} has two targets, {urls[host]} and {url}")


def _parse(text: str, *, yaml_form: bool) -> Any:
    return yaml.safe_load(text) if yaml_form else json.loads(text)


def targets_of(config: RouteConfig) -> FileTargets | TemplateTargets:
    """Return the targets that the configuration names; raise TargetsError."""
    targets = config.targets
    if targets.file:
        return FileTargets(targets.file, config.host_label, config.path)
    return TemplateTargets(targets.template, targets.template_hosts)
