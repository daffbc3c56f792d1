"""ReplicaPair: both replicas of one disk, as far as they are known: what the judge decides on."""

from mcv.document.disks import DrbdDisk
from mcv.document.generation import Value
from mcv.document.model import Vm
from mcv.rules import split_brain
from mcv.rules.replica_state import ReplicaState


class Replica(Value, frozen=True, kw_only=True):
    """One side of a pair, as far as it is known.

    `is_online` is what the document says of the node, `silent` why nothing is known of the
    replica ("" where it is known), `advice` what to do about that. A known replica without a
    state is not up. `noted` tells of a failed verification that is written down on that node
    alone.
    """

    node: str
    is_online: bool = True
    silent: str = ""
    advice: str = ""
    state: ReplicaState | None = None
    noted: bool = False


def disk_of(vm: Vm, disk: DrbdDisk) -> str:
    """A disk in words: by the VM alone where the VM has no other."""
    return vm.name if len(vm.disks) < 2 else f"disk {disk.id} of {vm.name}"


class ReplicaPair(Value, frozen=True, kw_only=True):
    """The replicas of one disk of a VM, by node, with what the document says of them.

    `is_verified` is whether a daemon is at work on a verification of the VM.
    """

    vm: Vm
    disk: DrbdDisk
    replicas: dict[str, Replica]
    is_enabled: bool = True
    is_verified: bool = False

    @property
    def name(self) -> str:
        """What the replicas are of, in words: the VM, or one of its disks."""
        return disk_of(self.vm, self.disk)

    @property
    def states(self) -> dict[str, ReplicaState]:
        """The replicas that are known to be up."""
        sides = self.replicas.items()
        return {node: side.state for node, side in sides if side.state is not None}

    @property
    def split(self) -> list[str]:
        """The two nodes of a split brain; empty where there is none."""
        return split_brain.of({node: side.state for node, side in self.replicas.items()})

    @property
    def is_noted(self) -> bool:
        return any(side.noted for side in self.replicas.values())

    @property
    def is_blocked(self) -> bool:
        """Whether a failed verification blocks start and migration."""
        return self.disk.verification.blocked or self.is_noted

    def advice(self, node: str) -> str:
        """What to do about a node that is needed: nothing but patience where it answers."""
        side = self.replicas.get(node)
        return (side.advice if side else "") or f"bring {node} back: mcv info"

    def is_online(self, node: str) -> bool:
        return node in self.replicas and self.replicas[node].is_online

    def state(self, node: str) -> ReplicaState | None:
        return self.replicas[node].state if node in self.replicas else None
