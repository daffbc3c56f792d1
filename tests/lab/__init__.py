"""A lab of real nodes, each one process: a kernel with systemd, DRBD, LVM, libvirt and QEMU.

`Lab` boots them; a `Node` runs commands, dies, comes back with its disks, is cut off and healed.
"""

from tests.lab.host import LabError
from tests.lab.lab import Lab, wait_until
from tests.lab.node import CommandError, Node, Result

__all__ = ["CommandError", "Lab", "LabError", "Node", "Result", "wait_until"]
