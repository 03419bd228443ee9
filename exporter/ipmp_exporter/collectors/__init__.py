"""The metrics, one module per subject; the order here is the order of the exposition."""

from ipmp_exporter.collectors.addresses import ADDRESSES
from ipmp_exporter.collectors.daemon import DAEMON
from ipmp_exporter.collectors.family import Subject
from ipmp_exporter.collectors.groups import GROUPS
from ipmp_exporter.collectors.interfaces import INTERFACES

SUBJECTS: tuple[Subject, ...] = (GROUPS, INTERFACES, ADDRESSES, DAEMON)
