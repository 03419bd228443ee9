"""`mpathd`: the daemon in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
import sys
from contextlib import suppress
from pathlib import Path

import structlog

from ipmp import __version__, logs
from ipmp.api import Server
from ipmp.client import default_run_dir
from ipmp.config import Config, ConfigError, load
from ipmp.daemon.daemon import Daemon
from ipmp.daemon.notify import notify, reloading, report
from ipmp.daemon.sysctls import check
from ipmp.history import History
from ipmp.intent import IntentStore, LockedError, UnreadableError
from ipmp.kernel.linux import LinuxKernel

log: structlog.stdlib.BoundLogger = structlog.get_logger("mpathd")

#: Signals that would end us before we can obey them: during the start the kernel keeps them.
LATER = (signal.SIGHUP, signal.SIGUSR1)


def main() -> int:
    """Run until SIGTERM or SIGINT; 1 when it could not start or had to give up."""
    signal.pthread_sigmask(signal.SIG_BLOCK, LATER)
    options = _parser().parse_args()
    logs.configure(options.log_level, options.log_format)
    try:
        config = load(options.config)
        for warning in config.warnings:
            print(f"mpathd: warning: {warning}", file=sys.stderr)
        if options.check:
            return 0
        check(config)
        return asyncio.run(_serve(options, config))
    except ConfigError as error:
        for sentence in error.errors:
            print(f"mpathd: {sentence}", file=sys.stderr)
    except (LockedError, UnreadableError) as error:
        print(f"mpathd: {error}", file=sys.stderr)
    except PermissionError as error:
        print(f"mpathd: {_permission(error, options.run_dir)}", file=sys.stderr)
    except OSError as error:
        print(f"mpathd: {error.strerror or error}: {error.filename or ''}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mpathd", description="IP multipathing daemon")
    run_dir = Path(default_run_dir())
    parser.add_argument("--config", type=Path, default=Path("/etc/ipmp/ipmp.toml"), metavar="FILE")
    parser.add_argument("--run-dir", type=Path, default=run_dir, metavar="DIR")
    parser.add_argument("--state-dir", type=Path, default=Path("/var/lib/ipmp"), metavar="DIR")
    logs.add_flags(parser)
    parser.add_argument("--check", action="store_true", help="validate the configuration and exit")
    parser.add_argument("--version", action="version", version=f"mpathd {__version__}")
    return parser


async def _serve(options: argparse.Namespace, config: Config) -> int:
    store = IntentStore(options.run_dir)
    history = History()
    await history.open(options.state_dir / "history.sqlite")
    daemon = Daemon(config, store, history, LinuxKernel())
    server = Server(daemon, options.run_dir)
    stop, hangup = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    loop.add_signal_handler(signal.SIGUSR1, daemon.log_statistics)
    await daemon.start()
    await server.start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, LATER)
    _spare_the_loop()
    tasks = [asyncio.create_task(_reload_on(hangup, daemon))]
    notify("READY=1")
    tasks.append(asyncio.create_task(report(daemon)))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((stopping, daemon.failed), return_when=asyncio.FIRST_COMPLETED)
    notify("STOPPING=1")
    for task in (stopping, *tasks):
        task.cancel()
    await server.close()
    await daemon.stop()
    if daemon.failed.done():
        daemon.failed.result()
    return 0


def _spare_the_loop() -> None:
    """Let the cycle collector run rarely, over little: 50,000 objects at a time take 20 ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 50, 100)


async def _reload_on(hangup: asyncio.Event, daemon: Daemon) -> None:
    """Read the configuration again at every SIGHUP."""
    while True:
        await hangup.wait()
        hangup.clear()
        log.info("SIGHUP: reread config file")
        reloading()
        with suppress(ConfigError):  # logged, and the old configuration stays in force
            await daemon.reload("SIGHUP")
        notify("READY=1")


def _permission(error: PermissionError, run_dir: Path) -> str:
    what = error.filename or "the network"
    return f"no permission for {what}; start it as root, or name another --run-dir than {run_dir}"


if __name__ == "__main__":
    sys.exit(main())
