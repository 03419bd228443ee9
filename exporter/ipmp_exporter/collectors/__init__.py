"""The metrics, one module per subject; the order here is the order of the exposition."""

from ipmp_exporter.collectors.addresses import ADDRESSES
from ipmp_exporter.collectors.config import CONFIG
from ipmp_exporter.collectors.daemon import DAEMON
from ipmp_exporter.collectors.family import Subject
from ipmp_exporter.collectors.groups import GROUPS
from ipmp_exporter.collectors.interfaces import INTERFACES
from ipmp_exporter.collectors.kernel import KERNEL
from ipmp_exporter.collectors.operations import OPERATIONS
from ipmp_exporter.collectors.probes import PROBES, TARGETS

SUBJECTS: tuple[Subject, ...] = (
    GROUPS,
    INTERFACES,
    PROBES,
    TARGETS,
    ADDRESSES,
    OPERATIONS,
    KERNEL,
    CONFIG,
    DAEMON,
)
DEFAULT: tuple[Subject, ...] = tuple(subject for subject in SUBJECTS if subject.default)
