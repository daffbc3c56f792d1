"""Volumes and files of disks of every kind, compared with the document; and what is left over."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mcv.check.files_seen import DirectorySeen, is_mcvs
from mcv.check.finding import FIX, ClusterSnapshot, Finding, Fix
from mcv.check.inventory import Inventory, Lv
from mcv.document.disks import Disk, DrbdDisk, SharedDisk, group_of
from mcv.document.model import Vm
from mcv.drivers.lvm import drbd_size, metadata_size, rounded
from mcv.rules.finding import Severity
from mcv.storage import paths

Findings = Iterator[Finding]

OF_VM = re.compile(r"mcv-(?P<vm>.+)-\d+")
# A file has a part of its VM's UUID behind that, and a draft an ending more.
OF_FILE = re.compile(r"mcv-(?P<vm>.+)-\d+(-[0-9a-f]{8})?(\.(qcow2|raw|img|iso))?(\.[a-z]+)?")


def judge(scene: ClusterSnapshot) -> Findings:
    for vm in scene.cluster.vms.values():
        if scene.at_work(vm):
            continue
        for disk in vm.disks:
            for node, inventory in scene.seen.items():
                where = paths.location(scene.cluster, disk, node)
                if where and _is_judged_here(scene, vm, disk, node):
                    yield from _Place(vm, disk, inventory, where).judged()
    for node, inventory in scene.seen.items():
        yield from _left_volumes(scene, inventory)
        for location, seen in sorted(inventory.directories.items()):
            if _is_first(scene, node, location):
                yield from _left_files(scene, inventory, location, seen)


def _is_judged_here(scene: ClusterSnapshot, vm: Vm, disk: Disk, node: str) -> bool:
    """A shared file is the same on every node: the owner of its VM tells, or the first node."""
    if not isinstance(disk, SharedDisk):
        return True
    there = sorted(name for name in scene.seen if paths.location(scene.cluster, disk, name))
    return node == (vm.node if vm.node in there else there[0])


@dataclass(frozen=True)
class _Place:
    """One disk on one node, at a location."""

    vm: Vm
    disk: Disk
    inventory: Inventory
    where: str

    @property
    def node(self) -> str:
        return self.inventory.node

    @property
    def whose(self) -> str:
        return f"disk {self.disk.id} of {self.vm.name}"

    @property
    def subject(self) -> str:
        if paths.is_file(self.disk):
            return f"{self.where}/{self.disk.volume}"
        return f"{group_of(self.where)}/{self.disk.volume}"

    def judged(self) -> Findings:
        return self._file() if paths.is_file(self.disk) else self._volume()

    def _finding(
        self, message: str, hint: str, severity: Severity = Severity.ERROR, deed: str = ""
    ) -> Finding:
        return Finding(
            severity=severity,
            node=self.node,
            subject=self.subject,
            message=message,
            hint=hint,
            fix=Fix(node=self.node, deed=deed, subject=self.subject) if deed else None,
        )

    # Files

    def _file(self) -> Findings:
        seen = self.inventory.directories.get(self.where)
        if seen is None or seen.problem:
            return  # the judge of pools tells of a directory that cannot be read
        file = seen.files.get(self.disk.volume)
        if file is None:
            yield self._finding(
                f"The file {self.subject} of {self.whose} is missing on {self.node}.",
                f"Bring it back from a backup, or take the disk away: mcv disk list {self.vm.name}",
            )
        elif file.problem:
            yield self._finding(f"{self.whose.capitalize()} on {self.node}: {file.problem}", "")
        elif file.format != self.disk.format:
            yield self._finding(
                f"The file {self.subject} of {self.whose} is {file.format} on {self.node}, not "
                f"{self.disk.format}: it is not the file that mcv made.",
                "Bring the right one back before the VM is started.",
            )
        elif file.size != self.disk.size:
            yield self._of_another_size(f"The file {self.subject}", file.size)

    def _of_another_size(self, what: str, size: int) -> Finding:
        """A guest that sees more than the document says is not cut short by anything yet."""
        is_small = size < self.disk.size
        return self._finding(
            f"{what} of {self.whose} has {size} bytes on {self.node}, and the document says "
            f"{self.disk.size}.",
            f"See: mcv disk list {self.vm.name}",
            Severity.ERROR if is_small else Severity.WARNING,
        )

    # Logical volumes

    def _volume(self) -> Findings:
        group, inventory = group_of(self.where), self.inventory
        if inventory.volumes is None or inventory.extents is None:
            return
        if group in inventory.group_problems:
            why, helps = inventory.group_problems[group]
            yield self._finding(
                f"The volume group {group} on {self.node} holds {self.whose}. {why}", helps
            )
        elif group not in inventory.extents:
            yield self._finding(
                f"There is no volume group {group} on {self.node}, which holds {self.whose}.",
                f"Is its disk there? On {self.node}: pvs, vgs",
            )
        else:
            names = ((lv.group, lv.name) for lv in inventory.volumes)
            found = dict(zip(names, inventory.volumes, strict=True))
            yield from self._in_group(group, found.get((group, self.disk.volume)))

    def _in_group(self, group: str, found: Lv | None) -> Findings:
        if found is None:
            other = f"; its other replica: mcv info {self.vm.name}" if self._is_replica else "."
            yield self._finding(
                f"The logical volume {self.subject} of {self.whose} is missing on {self.node}.",
                f"Bring it back (on {self.node}: vgcfgrestore --list {group}), or do without it"
                f"{other}",
            )
            return
        if self._holds(found.size) < self.disk.size:
            needed = self._needed(group)
            yield self._finding(
                f"The logical volume {self.subject} of {self.whose} is too small on {self.node}: "
                f"{found.size} bytes, {needed} are needed.",
                f"On {self.node}: lvextend --size {needed}b {self.subject}",
            )
        yield from self._state(found)
        yield from self._device()

    def _state(self, found: Lv) -> Findings:
        pool = self.where.partition("/")[2]
        if found.pool != pool:
            lies = f"in the thin pool {found.group}/{found.pool}" if found.pool else "in none"
            yield self._finding(
                f"The logical volume {self.subject} of {self.whose} on {self.node} lies {lies}, "
                f"and the document says {self.where}.",
                f"See: mcv disk list {self.vm.name}",
                Severity.WARNING,
            )
        if not found.active and not self._is_replica:
            yield self._finding(
                f"The logical volume {self.subject} of {self.whose} is not active on {self.node}.",
                FIX,
                Severity.WARNING,
                deed="activate",
            )

    def _device(self) -> Findings:
        """The DRBD device above the volume, where DRBD was told its size, or should have been."""
        state = (self.inventory.resources or {}).get(getattr(self.disk, "resource", ""))
        if not isinstance(self.disk, DrbdDisk) or state is None or not state.size:
            return
        if self.disk.exact and state.size != self.disk.size:
            yield self._of_another_size(f"The device {self.disk.device}", state.size)
        elif state.size > self.disk.size:
            yield self._finding(
                f"The device {self.disk.device} of {self.whose} has {state.size} bytes on "
                f"{self.node}, more than the document says: it was made by an earlier mcv.",
                "It is written down by itself, once both of its nodes are online: mcv info",
                Severity.NOTE,
            )

    @property
    def _is_replica(self) -> bool:
        return isinstance(self.disk, DrbdDisk)

    def _holds(self, size: int) -> int:
        """What a volume of so many bytes has for the guest."""
        return size - metadata_size(size) if self._is_replica else size

    def _needed(self, group: str) -> int:
        extent = (self.inventory.extents or {})[group]
        return (
            drbd_size(self.disk.size, extent)
            if self._is_replica
            else rounded(self.disk.size, extent)
        )


# What belongs to no VM


def _left_volumes(scene: ClusterSnapshot, inventory: Inventory) -> Findings:
    known = {
        (group_of(disk.places.get(inventory.node, "")), disk.volume)
        for cluster in scene.known
        for _, disk in cluster.disks()
    }
    for lv in inventory.volumes or []:
        subject, vm = f"{lv.group}/{lv.name}", OF_VM.fullmatch(lv.name)
        if (lv.group, lv.name) in known or (vm and _is_changed(scene, vm["vm"])):
            continue
        if lv.ours:
            yield Finding(
                severity=Severity.WARNING,
                node=inventory.node,
                subject=subject,
                message=f"The logical volume {subject} on {inventory.node} belongs to no VM.",
                hint=FIX,
                fix=Fix(node=inventory.node, deed="remove-volume", subject=subject),
            )
        elif vm:
            yield Finding(
                severity=Severity.NOTE,
                node=inventory.node,
                subject=subject,
                message=f"The logical volume {subject} on {inventory.node} belongs to no VM and "
                "has not mcv's tag: a disk that was kept.",
                hint=f"When it is not needed: lvremove {subject}",
            )


def _is_changed(scene: ClusterSnapshot, name: str) -> bool:
    """Whether an operation is at work on a VM: it makes volumes that no document has yet."""
    vm = scene.cluster.vms.get(name)
    return vm is not None and (vm.claim is not None or scene.at_work(vm))


def _is_first(scene: ClusterSnapshot, node: str, location: str) -> bool:
    """Whether what lies in a directory is told by this node: of a shared one, by one node."""
    for pool in scene.cluster.all_pools.values():
        if pool.type == "shared" and pool.nodes.get(node) == location:
            return node == min(set(pool.nodes) & set(scene.seen))
    return True


def _left_files(
    scene: ClusterSnapshot, inventory: Inventory, location: str, seen: DirectorySeen
) -> Findings:
    """A file bears no mark of mcv's but its name, so it is only told, and never deleted."""
    known = {
        (paths.location(cluster, disk, inventory.node), disk.volume)
        for cluster in scene.known
        for _, disk in cluster.disks()
    }
    for name in sorted(seen.files):
        vm = OF_FILE.fullmatch(name)
        if (location, name) in known or not is_mcvs(name):
            continue
        if vm is None or not _is_changed(scene, vm["vm"]):
            yield Finding(
                severity=Severity.NOTE,
                node=inventory.node,
                subject=f"{location}/{name}",
                message=f"The file {location}/{name} on {inventory.node} is a disk of no VM: one "
                "that was kept, or left over.",
                hint=f"When it is not needed: rm {location}/{name}",
            )
