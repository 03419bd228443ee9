"""The sysctls of simulated devices, at the seam that `ipmp.daemon.sysctls` imports.

The rules are the real ones (`sysctl.REQUIRED`); only the files are not there.
"""

from __future__ import annotations

import errno
from collections.abc import Collection

from ipmp.kernel.sysctl import REQUIRED, Finding
from ipmp.model import Family
from tests.simulation.kernel import SimulatedKernel


class SimulatedSysctls:
    """Stands in for `inspect`, `correct` and `restore`; `all` is 0 everywhere."""

    def __init__(self, kernel: SimulatedKernel) -> None:
        self._kernel = kernel

    def inspect(self, interface: str, families: Collection[Family]) -> list[Finding]:
        """Compare with what a group requires; a device that is gone has no sysctls."""
        device = self._kernel.names.get(interface)
        findings = []
        for required in REQUIRED:
            if required.family not in families:
                continue
            value = device.sysctls.get(required.name, 0) if device is not None else None
            effective = None if value is None else required.combine(0, value)
            ok = effective is not None and effective in required.accepted
            if not ok:
                findings.append(
                    Finding(
                        required.name,
                        interface,
                        value,
                        effective,
                        required.wanted,
                        ok,
                        required.why,
                        fixable=value is not None and required.write is not None,
                        write=required.write,
                    )
                )
        return findings

    def correct(self, finding: Finding) -> None:
        """Write the device's own value."""
        assert finding.write is not None
        self._write(finding.interface, finding.name, finding.write)

    def restore(self, name: str, interface: str, value: int) -> bool:
        """Put a value back; False when the device is gone."""
        if interface not in self._kernel.names:
            return False
        self._write(interface, name, value)
        return True

    def _write(self, interface: str, name: str, value: int) -> None:
        device = self._kernel.names.get(interface)
        if device is None:
            raise OSError(errno.ENOENT, "no such sysctl")
        device.sysctls[name] = value
