"""What a kind of storage answers for one disk: VMs ask this, and never DRBD or LVM."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mcv.document.model import Vm
from mcv.drivers.open_devices import Holder
from mcv.errors import Refused
from mcv.host import Host
from mcv.rules.takeover import Problem
from mcv.transaction.plan import Item, Step, on


@dataclass(frozen=True)
class LiveMove:
    """The steps of a live migration before the memory is sent, and after the new owner is known."""

    before: list[Item]
    after: list[Item]


def volume_growth(node: str, name: str, disk: int, size: int, was: int) -> Step:
    """Extend a volume. Its way back leaves it large, and sees that what was added is zeroed."""
    return Step(
        on(node, "volume.grow", name=name, disk=disk, size=size, was=was),
        undo=on(node, "volume.zero_growth", name=name, disk=disk, was=was),
    )


@dataclass(frozen=True)
class Growth:
    """The steps of a growth before the document has the new size, and after it."""

    before: list[Item]
    after: list[Item]


class Kind(Protocol):
    """One disk by its kind; each kind is one class, in a module of its own.

    The plans are pure. The steps of a move and of a takeover are those of all the VM's disks of
    this kind together: they are asked for once a kind, by the functions of this package.
    """

    def creation(self, vm: Vm) -> list[Item]:
        """Make the disk on each of its nodes, each step with its way back."""

    def deletion(self, vm: Vm, keep: bool) -> list[Item]:
        """Take the disk away on each of its nodes; with keep, all but the bytes."""

    def adoption(self, vm: Vm) -> list[Item]:
        """As creation, from a volume that is there and keeps its bytes, forward and back."""

    def growth(self, vm: Vm, size: int, was: Mapping[str, int]) -> Growth:
        """Make the disk larger; `was` are the bytes of its volume on each of its nodes.

        Before the document has the size no guest and no DRBD sees it.
        """

    def before_mirror(self, vm: Vm) -> list[Item]:
        """Make a new disk ready for what a running domain of the owner mirrors to it."""

    def after_mirror(self, vm: Vm) -> list[Item]:
        """Complete the disk, now that the domain has gone over to it."""

    def offline_move(self, vm: Vm, to: str) -> list[Item]:
        """Release the disks on the owner, before another node becomes it."""

    def live_move(self, vm: Vm, to: str) -> LiveMove:
        """Have the disks open on both nodes for as long as the memory is sent."""

    def stale_takeover(self, vm: Vm, to: str) -> list[Item]:
        """Make copies usable that may lack what the dead owner wrote."""

    def bring_up(self, host: Host) -> None:
        """Make the disk known to this host's kernel; harmless when it is."""

    def forget(self, host: Host) -> None:
        """Take the disk out of this host's kernel, with its configuration; its bytes stay."""

    def open(self, host: Host) -> None:
        """Let a domain of this host write; harmless when it may. Raises McvError."""

    def close(self, host: Host) -> None:
        """Let no domain of this host write any more; harmless when none may. Raises McvError."""

    def holders(self, host: Host) -> list[Holder]:
        """What has the disk open on this node: processes, mounts, devices on top of it."""

    def why_not_start(self, host: Host, vm: Vm, ignore_verify: bool) -> Refused | None:
        """What about this disk forbids a start of the VM on this node."""

    def why_not_move(self, host: Host, vm: Vm, ignore_verify: bool) -> Refused | None:
        """What about this disk forbids a migration of the VM from this node."""

    def why_not_take_over(self, host: Host, vm: Vm) -> Problem | None:
        """What forbids this node to own the VM with the bytes that it has itself."""

    def prospects(self, host: Host, vm: Vm) -> list[str]:
        """What is known of the bytes here, for an operator who is to take the VM over."""

    def is_blocked(self, host: Host) -> bool:
        """Whether a failed verification forbids to use the disk, by the document or a note."""
