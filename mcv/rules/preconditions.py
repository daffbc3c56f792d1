"""What must be so before anything is done to a VM: each looks, and refuses in words."""

from mcv.document.changes import busy
from mcv.document.model import Cluster, Vm
from mcv.errors import Refused
from mcv.host import Host
from mcv.rules import replica


def owned(host: Host, name: str) -> Vm:
    """The VM, if both the settled document and the proposal say that it is this node's."""
    for cluster in reversed(host.both()):
        vm = cluster.vm(name)
        if vm.node != host.name:
            raise Refused(f"{name} belongs to {vm.node}.", f"Ask there, or: mcv info {name}")
    return vm


def staying(host: Host) -> None:
    """A node that goes down starts nothing any more."""
    if host.extra.get("leaving"):
        raise Refused(f"{host.name} is shutting down.")


def unclaimed(host: Host, vm: Vm) -> None:
    for cluster in host.both():
        claim = cluster.vm(vm.name).claim
        if claim is not None and claim.operation != host.job.id:
            raise busy(vm.name, claim)


def unlocked(vm: Vm) -> None:
    if vm.locked:
        raise Refused(f"{vm.name} is locked by an administrator.", f"mcv unlock {vm.name}")


def stopped(host: Host, vm: Vm) -> None:
    if host.domains.is_active(vm.name):
        raise Refused(
            f"{vm.name} is {host.domains.state(vm.name)}.",
            f"First: mcv shutdown {vm.name} --wait (or: mcv stop {vm.name})",
        )


def inactive(host: Host, name: str) -> None:
    """For a step: no domain here, the VM's own or a copy, may hold its disks."""
    if host.domains.is_active(name):
        raise Refused(f"{name} is {host.domains.state(name)} on {host.name}.")


def with_disks(host: Host, name: str) -> Vm:
    """The VM, if this node is in contact, owns it, nobody has claimed it, and it has disks."""
    host.consensus.require_contact()
    vm = owned(host, name)
    unclaimed(host, vm)
    if not vm.disks:
        raise Refused(f"{name} has no disk.")
    return vm


def is_blocked(host: Host, vm: Vm) -> bool:
    """Whether a failed verification blocks a VM, be it by a note on this node alone."""
    noted = replica.blocked_by_note(host)
    return vm.blocked or any(disk.resource in noted for disk in vm.disks)


def startable_disks(host: Host, vm: Vm, ignore_verify: bool) -> list[Refused]:
    found = (replica.why_not_start(host, vm, disk, ignore_verify) for disk in vm.disks)
    return [problem for problem in found if problem is not None]


def movable_disks(host: Host, vm: Vm, ignore_verify: bool) -> list[Refused]:
    found = (replica.why_not_move(host, vm, disk, ignore_verify) for disk in vm.disks)
    return [problem for problem in found if problem is not None]


def online(cluster: Cluster, name: str) -> None:
    if cluster.node(name).status != "online":
        raise Refused(f"{name} is offline.", f"Bring it back with: mcv node online {name}")
