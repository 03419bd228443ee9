"""`ipmp.toml` and `/etc/default/mpathd` read into one validated value.

`load` either returns a `Config` in which everything holds, or raises `ConfigError` with one
sentence for every problem of the file, so that an operator mends them all in one go. Whether an
interface exists is not asked here: one that does not (yet) is absent, not an error.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from ipmp.config.document import build
from ipmp.config.mpathd import MPATHD_DEFAULTS, read_mpathd_defaults
from ipmp.config.schema import (
    Announce,
    Config,
    ConfigError,
    DeclaredAddress,
    GroupConfig,
    Probe,
)

__all__ = [
    "MPATHD_DEFAULTS",
    "Announce",
    "Config",
    "ConfigError",
    "DeclaredAddress",
    "GroupConfig",
    "Probe",
    "load",
]


def load(path: Path, mpathd_defaults: Path = MPATHD_DEFAULTS) -> Config:
    """Read and validate the configuration at `path`.

    `mpathd_defaults` ranks below `[defaults]` of the file; it may be missing, and what is wrong in
    it is a warning, as it is on Solaris. Raises `ConfigError` with every problem found in `path`.
    """
    document = _read(path)
    base, warnings = read_mpathd_defaults(mpathd_defaults)
    return build(document, path, base, warnings)


def _read(path: Path) -> dict[str, Any]:
    """Return the TOML document at `path`; what hinders that is the only problem reported."""
    try:
        return tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError:
        problem = "the file does not exist; create it, or name another one with --config"
    except OSError as error:
        problem = f"the file cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        problem = f"the file is not UTF-8 (byte {error.start}); save it as UTF-8"
    except RecursionError:
        problem = "the file is nested too deeply to be a configuration"
    except ValueError as error:  # TOMLDecodeError, and int() on a number of thousands of digits
        problem = f"the file is not TOML: {error}"
    raise ConfigError((f"{path}: {problem}",))
