"""The kinds whose bytes are on one node alone, and the shared kind, whose bytes every node sees."""

from collections.abc import Mapping
from dataclasses import dataclass

from mcv.document.disks import FileDisk, LvmDisk, SharedDisk, ThinDisk
from mcv.document.model import Vm
from mcv.drivers.open_devices import Holder
from mcv.errors import Refused
from mcv.host import Host
from mcv.rules.takeover import Problem
from mcv.sizes import shown
from mcv.storage import backings, paths, shared_locks
from mcv.storage.kind import Growth, LiveMove, volume_growth
from mcv.transaction.plan import Item, Step, on


@dataclass(frozen=True)
class Plain:
    """A disk without replicas: its volume is what the guest writes to."""

    disk: FileDisk | LvmDisk | ThinDisk | SharedDisk

    # Plans

    def creation(self, vm: Vm) -> list[Item]:
        params = {"name": vm.name, "disk": self.disk.id}
        node = self._maker(vm)
        return [Step(on(node, "volume.create", **params), undo=on(node, "volume.remove", **params))]

    def deletion(self, vm: Vm, keep: bool) -> list[Item]:
        end = "volume.untag" if keep else "volume.remove"
        return [Step(on(self._maker(vm), end, name=vm.name, disk=self.disk.id))]

    def _maker(self, vm: Vm) -> str:
        """The node that makes the volume: the node that has it, or the owner of a shared disk."""
        return next(iter(self.disk.places), vm.node)

    def adoption(self, vm: Vm) -> list[Item]:
        params = {"name": vm.name, "disk": self.disk.id}
        node = self._maker(vm)
        return [Step(on(node, "volume.adopt", **params), undo=on(node, "volume.untag", **params))]

    def growth(self, vm: Vm, size: int, was: Mapping[str, int]) -> Growth:
        node = self._maker(vm)
        return Growth(
            before=[volume_growth(node, vm.name, self.disk.id, size, was[node])], after=[]
        )

    def before_mirror(self, vm: Vm) -> list[Item]:
        return []

    def after_mirror(self, vm: Vm) -> list[Item]:
        return []

    def offline_move(self, vm: Vm, to: str) -> list[Item]:
        return []

    def live_move(self, vm: Vm, to: str) -> LiveMove:
        return LiveMove(before=[], after=[])

    def stale_takeover(self, vm: Vm, to: str) -> list[Item]:
        return []

    # On this node

    def bring_up(self, host: Host) -> None:
        where = paths.location(host.both()[-1], self.disk, host.name)
        backings.of(host, self.disk).bring_up(where, self.disk.volume)

    def forget(self, host: Host) -> None:
        """No configuration of this host names the disk; the definition goes with its domain."""

    def open(self, host: Host) -> None:
        self.bring_up(host)

    def close(self, host: Host) -> None:
        """QEMU closes the disk when it ends."""

    def holders(self, host: Host) -> list[Holder]:
        path = paths.path(host.read(), self.disk, host.name)
        return host.directories.holders(path) if path else []

    def why_not_start(self, host: Host, vm: Vm, ignore_verify: bool) -> Refused | None:
        where = paths.location(host.read(), self.disk, host.name)
        if not where:
            return Refused(f"Disk {self.disk.id} of {vm.name} is not on {host.name}.")
        return backings.of(host, self.disk).why_not_open(where, self.disk.volume)

    def is_blocked(self, host: Host) -> bool:
        return False


class Local(Plain):
    """A disk of one node: it is moved by a copy, and nobody can take it over."""

    def why_not_move(self, host: Host, vm: Vm, ignore_verify: bool) -> Refused | None:
        return self.why_not_start(host, vm, ignore_verify)

    def why_not_take_over(self, host: Host, vm: Vm) -> Problem | None:
        refusal = Refused(
            f"Disk {self.disk.id} of {vm.name} is on {self._maker(vm)} alone.",
            f"It can run nowhere else until {self._maker(vm)} is back.",
        )
        return Problem(refusal, may_be_accepted=False)

    def prospects(self, host: Host, vm: Vm) -> list[str]:
        return [f"Disk {self.disk.id} ({shown(self.disk.size)}) is on {self._maker(vm)} alone."]


class Shared(Plain):
    """A file in a shared pool: every node of the pool opens the same file."""

    def why_not_move(self, host: Host, vm: Vm, ignore_verify: bool) -> Refused | None:
        return self.why_not_start(host, vm, ignore_verify)

    def why_not_take_over(self, host: Host, vm: Vm) -> Problem | None:
        refusal = self.why_not_start(host, vm, False)
        if refusal is None and isinstance(self.disk, SharedDisk):
            refusal = shared_locks.why_not_take_over(host, vm, self.disk)
        return Problem(refusal, may_be_accepted=False) if refusal else None

    def prospects(self, host: Host, vm: Vm) -> list[str]:
        return [
            f"Disk {self.disk.id} ({shown(self.disk.size)}) is in the shared pool "
            f"{self.disk.pool}, and QEMU's lock of it is free: if {vm.node} runs {vm.name} all "
            f"the same, both write to it."
        ]
