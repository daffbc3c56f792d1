"""The kind `drbd`: a replica on a logical volume on each of two nodes."""

from collections.abc import Mapping
from dataclasses import dataclass

from mcv.document.disks import DrbdDisk
from mcv.document.model import Vm
from mcv.drbd import notes, pairs, takeable
from mcv.drivers.open_devices import Holder
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.rules import replica, takeover
from mcv.storage.kind import Growth, LiveMove, volume_growth
from mcv.system import files
from mcv.transaction.plan import Call, Item, Step, on, together


@dataclass(frozen=True)
class Drbd:
    """One replicated disk."""

    disk: DrbdDisk

    # Plans

    def creation(self, vm: Vm) -> list[Item]:
        """Volumes and resources on both nodes, then the mark that both replicas are equal."""
        where = self._where(vm)
        return [
            together(
                Step(on(node, "volume.create", **params), undo=on(node, "volume.remove", **params))
                for node, params in where.items()
            ),
            together(
                Step(on(node, "drbd.create", **params), undo=on(node, "drbd.remove", **params))
                for node, params in where.items()
            ),
            Step(on(vm.node, "drbd.skip_initial_sync", name=vm.name, disk=self.disk.id)),
        ]

    def deletion(self, vm: Vm, keep: bool) -> list[Item]:
        """The resources, then the volumes; with keep those lose mcv's tag alone."""
        where = self._where(vm)
        end = "volume.untag" if keep else "volume.remove"
        return [
            together(Step(on(node, "drbd.remove", **params)) for node, params in where.items()),
            together(Step(on(node, end, **params)) for node, params in where.items()),
        ]

    def _where(self, vm: Vm) -> dict[str, dict[str, int | str]]:
        return {node: {"disk": self.disk.id, "name": vm.name} for node in sorted(self.disk.places)}

    def adoption(self, vm: Vm) -> list[Item]:
        """Nothing tells whether two kept volumes are still alike: none is adopted as a pair."""
        raise Refused(
            "A kept volume is taken back by one node, not as two replicas.",
            f"mcv disk add {vm.name} --storage lvm --volume {self.disk.volume}, then: "
            f"mcv disk move {vm.name} {self.disk.id} --storage drbd",
        )

    def growth(self, vm: Vm, size: int, was: Mapping[str, int]) -> Growth:
        """Both volumes, then DRBD's device; the document between.

        A file of the resource written from the document never says less than the device has.
        """
        where = self._where(vm)
        params = where[vm.node]
        other = self.disk.other(vm.node)
        return Growth(
            before=[
                together(
                    volume_growth(node, vm.name, self.disk.id, size, was[node]) for node in where
                ),
                Step(on(vm.node, "drbd.require_growable", **params)),
            ],
            after=[
                together(Step(on(node, "drbd.rewrite", **here)) for node, here in where.items()),
                Step(on(vm.node, "drbd.resize", **params)),
                Step(on(other, "drbd.await_size", **params)),
            ],
        )

    def before_mirror(self, vm: Vm) -> list[Item]:
        """Part the replicas: the owner's alone is Primary, and the peer's Outdated meanwhile.

        So the kernel promotes no replica that lacks what the mirror had still on its way.
        """
        return [Step(on(vm.node, "drbd.write_alone", name=vm.name, disk=self.disk.id))]

    def after_mirror(self, vm: Vm) -> list[Item]:
        """Join the replicas, and wait until the peer's has what was written meanwhile.

        A peer that was declared dead meanwhile is not waited for: it is brought up to date as
        any peer that comes back.
        """
        there = {"name": vm.name, "disk": self.disk.id}
        return [
            Step(on(vm.node, "drbd.rejoin", **there)),
            Step(on(vm.node, "drbd.await_peer", **there)),
        ]

    def offline_move(self, vm: Vm, to: str) -> list[Item]:
        return [Step(on(vm.node, "drbd.release", name=vm.name))]

    def live_move(self, vm: Vm, to: str) -> LiveMove:
        """Two primaries, which end last: with two of them no replica can be demoted."""
        old, name = vm.node, vm.name
        both = sorted((old, to))
        return LiveMove(
            before=[
                together(
                    Step(on(node, "drbd.two_primaries", name=name), undo=_one_primary(node, name))
                    for node in both
                ),
                Step(
                    on(to, "drbd.promote", name=name),
                    undo=on(to, "drbd.step_down", name=name),
                ),
            ],
            after=[
                Step(on(old, "drbd.step_down", name=name)),
                together(Step(_one_primary(node, name)) for node in both),
            ],
        )

    def stale_takeover(self, vm: Vm, to: str) -> list[Item]:
        return [Step(on(to, "drbd.accept_stale", name=vm.name))]

    # On this node

    def bring_up(self, host: Host) -> None:
        if host.drbd.status(self.disk.resource) is None:
            host.drbd.up(self.disk.resource)

    def forget(self, host: Host) -> None:
        host.drbd.down(self.disk.resource)
        files.remove(files.child(host.settings.drbd_directory, f"{self.disk.resource}.res"))

    def open(self, host: Host) -> None:
        host.drbd.promote(self.disk.resource)

    def close(self, host: Host) -> None:
        host.drbd.demote(self.disk.resource)

    def holders(self, host: Host) -> list[Holder]:
        return host.drbd.holders(self.disk.resource)

    def why_not_start(self, host: Host, vm: Vm, ignore_verify: bool) -> Refused | None:
        return replica.why_not_start(pairs.pair(host, vm, self.disk), host.name, ignore_verify)

    def why_not_move(self, host: Host, vm: Vm, ignore_verify: bool) -> Refused | None:
        return replica.why_not_move(pairs.pair(host, vm, self.disk), host.name, ignore_verify)

    def why_not_take_over(self, host: Host, vm: Vm) -> takeover.Problem | None:
        return takeable.may_be_taken(host, vm, self.disk)

    def prospects(self, host: Host, vm: Vm) -> list[str]:
        seen, problem = pairs.evidence(host, vm, self.disk), self.why_not_take_over(host, vm)
        return takeover.prospects_of(self.disk, seen, problem)

    def is_blocked(self, host: Host) -> bool:
        return self.disk.blocked or self.disk.resource in notes.blocked(host.settings.notes)


def _one_primary(node: str, name: str) -> Call:
    return on(node, "drbd.one_primary", name=name)


# All disks of this kind on this node at once: reports and loops ask a tool once, not a disk.


def open_disks(host: Host) -> list[Vm]:
    """The VMs of which a disk is open here; remembers which replicas were seen in step."""
    cluster = host.read()
    if not cluster.drbd.enabled:
        return []
    statuses = host.drbd.statuses()
    for resource, status in statuses.items():
        if status.connected and status.both_up_to_date:
            host.observations.see_in_step(resource)
    primaries = {resource for resource, status in statuses.items() if status.is_primary}
    return [
        vm
        for vm in cluster.vms.values()
        if any(disk.resource in primaries for disk in vm.replicated)
    ]


def connected_peers(host: Host) -> set[str]:
    """The nodes to which a replica of this node is connected; none where DRBD does not tell."""
    cluster = host.read()
    try:
        statuses = host.drbd.statuses() if cluster.drbd.enabled else {}
    except McvError:
        return set()
    ours = [disk for _, disk in cluster.replicated() if host.name in disk.places]
    seen = ((disk, statuses.get(disk.resource)) for disk in ours)
    return {disk.other(host.name) for disk, status in seen if status and status.connected}


def states(host: Host) -> pairs.States:
    """Each resource of this node's kernel, for a report."""
    return pairs.for_report(host, host.drbd.statuses()) if host.read().drbd.enabled else {}


def minors(host: Host) -> list[int]:
    """The device numbers that a new disk cannot have here."""
    return host.drbd.minors() if host.read().drbd.enabled else []


def disconnect_secondaries(host: Host) -> None:
    """Disconnect each replica that no domain here writes to; raises McvError."""
    for resource, status in host.drbd.statuses().items():
        if not status.is_primary:
            host.drbd.disconnect(resource)
