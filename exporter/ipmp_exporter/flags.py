"""The flags of `ipmp_exporter`, called as every exporter's are."""

from __future__ import annotations

import argparse
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ipmp import logs
from ipmp.client import default_run_dir
from ipmp_exporter.collectors import SUBJECTS
from ipmp_exporter.collectors.family import Subject
from ipmp_exporter.exposition import VERSION
from ipmp_exporter.live import LIVE_PATH
from ipmp_exporter.server import HEALTH_PATH, MAX_REQUESTS

DEFAULT_ADDRESS = ":10088"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence and exits 1, as every exporter does."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = _Parser(
        prog="ipmp_exporter",
        description="Publishes the state of this host's IPMP groups as Prometheus metrics.",
        allow_abbrev=False,
    )
    _add_web_flags(parser)
    parser.add_argument(
        "--run-dir",
        dest="run_dir",
        type=Path,
        default=Path(default_run_dir()),
        metavar="DIR",
        help="where mpathd has its sockets (default $IPMP_RUN_DIR, else /run/ipmp)",
    )
    for subject in SUBJECTS:
        parser.add_argument(
            f"--collector.{subject.name}",
            f"--no-collector.{subject.name}",
            dest=f"collector.{subject.name}",
            action=_Switch,
            default=subject.default,
            help=f"metrics about {subject.name} (default: {'on' if subject.default else 'off'})",
        )
    logs.add_flags(parser)
    version = f"ipmp_exporter {VERSION} (python {platform.python_version()})"
    parser.add_argument("--version", action="version", version=version)
    return parser


def switched_on(options: argparse.Namespace) -> Sequence[Subject]:
    """Return the subjects that the flags have left on."""
    return [subject for subject in SUBJECTS if getattr(options, f"collector.{subject.name}")]


class _Switch(argparse.Action):
    """`--x` and `--no-x`; the library's own puts the `no-` elsewhere for names with a dot."""

    def __init__(self, option_strings: Sequence[str], dest: str, **more: object) -> None:
        super().__init__(option_strings, dest, nargs=0, **more)  # type: ignore[arg-type]

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, not (option_string or "").startswith("--no-"))


def _add_web_flags(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--web.listen-address",
        dest="listen_address",
        action="append",
        metavar="ADDRESS",
        help=f"where to listen, HOST:PORT or :PORT; may be repeated (default {DEFAULT_ADDRESS})",
    )
    where.add_argument(
        "--web.systemd-socket",
        dest="systemd_socket",
        action="store_true",
        help="use the sockets that systemd passes instead of listening on addresses",
    )
    parser.add_argument(
        "--web.telemetry-path",
        dest="telemetry_path",
        type=_telemetry_path,
        default="/metrics",
        metavar="PATH",
        help="path of the metrics (default %(default)s)",
    )
    parser.add_argument(
        "--web.config.file",
        dest="web_config",
        type=Path,
        metavar="FILE",
        help="TLS and authentication, in the format of the Prometheus exporter toolkit",
    )
    parser.add_argument(
        "--web.max-requests",
        dest="max_requests",
        type=_number,
        default=MAX_REQUESTS,
        metavar="N",
        help="scrapes at a time, 0 for any number (default %(default)s)",
    )
    parser.add_argument(
        "--web.disable-exporter-metrics",
        dest="own_process",
        action="store_false",
        help="leave out process_*, which tell of the exporter itself",
    )


def _number(text: str) -> int:
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 999999")
    return int(text)


def _telemetry_path(path: str) -> str:
    if not re.fullmatch(r"/[\w./~-]*", path, re.ASCII) or path in (HEALTH_PATH, LIVE_PATH):
        raise argparse.ArgumentTypeError(
            f"{path!r} is not a path for the metrics; it starts with / and has letters, digits "
            f"and ._~- only, for example /metrics"
        )
    return path
