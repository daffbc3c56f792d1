"""The resources of the cluster as each node sees them."""

from msgspec import Struct

from mcv.document.disks import DrbdDisk
from mcv.document.model import Vm
from mcv.drivers.drbd_states import DiskState, Role
from mcv.host import Host
from mcv.rules.replica_state import ReplicaState
from mcv.status.findings import is_verified_now
from mcv.status.report import Reports, reports, told


class SideView(Struct, frozen=True, kw_only=True):
    """One node's replica; Unknown where the node does not tell, or the resource is not up."""

    role: Role = Role.UNKNOWN
    disk: DiskState = DiskState.UNKNOWN
    connection: str = "Unknown"


class ResourceView(Struct, frozen=True, kw_only=True):
    """One row of `drbd list`. `done` is in percent; None where nothing is under way."""

    vm: str
    disk: int
    resource: str
    minor: int
    port: int
    node: dict[str, SideView]
    out_of_sync: int
    done: float | None
    verified: str
    verified_by: str
    result: str
    blocked: bool


def list_(host: Host) -> list[ResourceView]:
    seen = reports(host)
    return [_view(vm, disk, seen) for vm, disk in host.read().replicated()]


def _view(vm: Vm, disk: DrbdDisk, seen: Reports) -> ResourceView:
    states = {
        node: (report.resources or {}).get(disk.resource)
        for node, report in told(seen).items()
        if node in disk.places
    }
    known = [state for state in states.values() if state]
    last = disk.verification
    is_cut_off = last.result == "running" and not is_verified_now(vm, seen)
    return ResourceView(
        vm=vm.name,
        disk=disk.id,
        resource=disk.resource,
        minor=disk.minor,
        port=disk.port,
        node={node: _side(states.get(node)) for node in sorted(disk.places)},
        out_of_sync=max((state.out_of_sync for state in known), default=0),
        done=min((state.done for state in known if state.done is not None), default=None),
        verified=last.when,
        verified_by=last.who,
        result="interrupted" if is_cut_off else last.result,
        blocked=last.blocked,
    )


def _side(state: ReplicaState | None) -> SideView:
    if state is None:
        return SideView()
    return SideView(role=state.role, disk=state.disk, connection=state.connection)
