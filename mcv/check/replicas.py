"""The replicas of VMs, compared: their files, and what the judge of pairs finds wrong."""

from collections.abc import Iterator

from mcv.check.artifacts import file_of
from mcv.check.finding import FIX, ClusterSnapshot, Finding, Fix
from mcv.check.inventory import Inventory
from mcv.document.disks import DrbdDisk, group_of
from mcv.document.model import Vm
from mcv.rules import replica
from mcv.rules.finding import Severity
from mcv.rules.replica import Kind, ReplicaFinding
from mcv.rules.replica_pair import Replica, ReplicaPair

Findings = Iterator[Finding]


def judge(scene: ClusterSnapshot) -> Findings:
    for vm in scene.cluster.vms.values():
        if scene.at_work(vm):
            continue
        for disk in vm.replicated:
            if scene.cluster.drbd.enabled:
                yield from _files(scene, disk)
            if mark := scene.behind.get(disk.resource):
                yield _behind(vm, disk, mark)
            for finding in replica.findings(pair(scene, vm, disk)):
                # Of a node that is offline, or does not tell, its own finding says so.
                if finding.kind is not Kind.AWAY:
                    yield _placed(scene, vm, disk, finding)


def _behind(vm: Vm, disk: DrbdDisk, mark: str) -> Finding:
    return Finding(
        severity=Severity.WARNING,
        node=vm.node,
        subject=disk.resource,
        message=f"Of {vm.name} {mark}.",
        hint="It is not taken over there without --accept-stale; the mark goes with the resync.",
    )


def pair(scene: ClusterSnapshot, vm: Vm, disk: DrbdDisk) -> ReplicaPair:
    """Both replicas of a disk, as the inventories tell them."""
    return ReplicaPair(
        vm=vm,
        disk=disk,
        replicas={node: _replica(scene, disk, node) for node in sorted(disk.places)},
        is_enabled=scene.cluster.drbd.enabled,
    )


def _replica(scene: ClusterSnapshot, disk: DrbdDisk, node: str) -> Replica:
    inventory, is_online = scene.seen.get(node), scene.is_online(node)
    if inventory is None:
        error = scene.silent.get(node)
        silent = error.message if error else f"{node} was not asked"
        advice = error.hint if error else ""
        return Replica(node=node, is_online=is_online, silent=silent, advice=advice)
    noted = disk.resource in inventory.blocked
    if inventory.resources is None:
        silent = f"DRBD cannot be read on {node}"
        return Replica(node=node, is_online=is_online, silent=silent, noted=noted)
    state = inventory.resources.get(disk.resource)
    return Replica(node=node, is_online=is_online, state=state, noted=noted)


def _placed(scene: ClusterSnapshot, vm: Vm, disk: DrbdDisk, finding: ReplicaFinding) -> Finding:
    """A finding of the judge, with the resource that it is about and what can be mended."""
    hint, fix = finding.hint, None
    if finding.kind is Kind.NOT_UP:
        place = (group_of(disk.places[finding.node]), disk.volume)
        volumes = scene.seen[finding.node].volumes or []
        if any((lv.group, lv.name) == place for lv in volumes):
            fix = Fix(node=finding.node, deed="up", subject=disk.resource)
        else:
            hint = f"Its logical volume has to be there first: {'/'.join(place)}"
    return Finding(
        severity=finding.severity,
        node=finding.node,
        subject=disk.resource,
        message=finding.message,
        hint=hint,
        fix=fix,
    )


def _files(scene: ClusterSnapshot, disk: DrbdDisk) -> Findings:
    for node in sorted(disk.places):
        if node in scene.seen:
            yield from _file(disk, scene.seen[node])


def _file(disk: DrbdDisk, inventory: Inventory) -> Findings:
    if not inventory.secret or "resource files" in inventory.trouble:
        return
    file = inventory.files.get(disk.resource)
    if file is not None and file.right is not False:
        return
    how = "is missing" if file is None else "was edited: it does not say what it should"
    path = file_of(disk.resource)
    yield Finding(
        severity=Severity.ERROR,
        node=inventory.node,
        subject=path,
        message=f"The resource file {path} on {inventory.node} {how}.",
        hint=FIX,
        fix=Fix(node=inventory.node, deed="file", subject=disk.resource),
    )
