"""What an armed cluster inherits: replicas that are in step, or of which it is marked which lag.

Nobody takes over a replica that is marked. Before arming nobody marked any: so each is looked
at, by its owner, who alone knows which data is the newest.
"""

from msgspec import Struct

from mcv import timestamps
from mcv.document.disks import DrbdDisk
from mcv.document.model import Vm
from mcv.drbd import notes, stale_marks
from mcv.drivers.drbd_status import Status
from mcv.errors import Busy, Refused, refuse_all
from mcv.etcd.answers import KeyValue
from mcv.etcd.keys import ClusterKeys
from mcv.etcd.requests import absent, delete, put, unchanged
from mcv.ha.values import Mark, decode_mark
from mcv.host import Host
from mcv.rules.replica_pair import disk_of


class Inherited(Struct, frozen=True, kw_only=True):
    """A replica that is not in step: what is its disk's in words, and whose replica is behind.

    `why_not` is why the owner cannot say which is the newest, and `hint` what helps; both are
    "" where it can.
    """

    resource: str
    disk: str
    behind: str
    since: str = ""
    why_not: str = ""
    hint: str = ""

    @property
    def problem(self) -> Refused:
        return Refused(f"{self.disk} {self.why_not}: which data is the newest?", self.hint)


def out_of_step(host: Host) -> list[Inherited]:
    """The replicated disks of this node's VMs whose replicas are not in step, and stay so."""
    found = []
    for vm, disk in host.read().replicated():
        if vm.node == host.name:
            status = host.drbd.status(disk.resource)
            if status is None or not stale_marks.is_in_step(status):
                found.append(_judged(host, vm, disk, status))
    return found


def _judged(host: Host, vm: Vm, disk: DrbdDisk, status: Status | None) -> Inherited:
    note = notes.read(host.settings.notes, disk.resource, notes.ALONE) or {}
    why_not, hint = _why_not(host.name, vm, status)
    return Inherited(
        resource=disk.resource,
        disk=disk_of(vm, disk),
        behind=disk.other(host.name),
        since=str(note.get("since", note.get("when", ""))),
        why_not=why_not,
        hint=hint,
    )


def _why_not(me: str, vm: Vm, status: Status | None) -> tuple[str, str]:
    """Why the owner cannot say that its own data is the newest, and what helps."""
    if status is None:
        return f"is not up on {me}", "mcv cluster check --fix"
    if status.is_suspended:
        return f"has its I/O suspended on {me} ({status.suspended})", "See: mcv info"
    if status.is_standalone:
        return f"is StandAlone on {me}", f"See: mcv info {vm.name}"
    if not status.up_to_date:
        return f"is {status.disk} on {me}", "Wait until it is in step: mcv drbd list"
    return "", ""


def mark(host: Host) -> list[str]:
    """Mark the replicas that are behind those of this node's VMs; the resources, in words.

    A mark that an earlier arming left is taken away where the replicas are in step, and written
    over where it names the other one. Precondition: this node's handler marks what gets out of
    step from now on by itself. Raises Refused where this node cannot say of a replica, Busy where
    another mark came between, and what a transaction raises.
    """
    store = host.read().store
    keys = ClusterKeys(store.id if store else "")
    marks = {each.key: each for each in host.keyspace.below(keys.marks).kvs}
    found = out_of_step(host)
    refuse_all([each.problem for each in found if each.why_not])
    for each in found:
        _write(host, keys.stale(each.resource), each, marks)
    lagging = {each.resource for each in found}
    for vm, disk in host.read().replicated():
        key = keys.stale(disk.resource)
        if vm.node == host.name and disk.resource not in lagging and key in marks:
            host.keyspace.change([unchanged(key, marks[key].mod_revision)], [delete(key)])
    return [each.disk for each in found]


def _write(host: Host, key: bytes, lag: Inherited, marks: dict[bytes, KeyValue]) -> None:
    known = marks.get(key)
    if known is not None and _node_of(known.value) == lag.behind:
        return
    since, why = lag.since or timestamps.timestamp(), "it was behind when the cluster was armed"
    text = Mark(lag.behind, host.name, since, why).encode().encode()
    is_as_read = absent(key) if known is None else unchanged(key, known.mod_revision)
    if not host.keyspace.change([is_as_read], [put(key, text)]).succeeded:
        raise Busy(f"The mark of {lag.disk} was written meanwhile.", "Try again.")


def _node_of(mark: bytes) -> str:
    """Whose replica a mark says to be behind; "" where that cannot be read."""
    try:
        return decode_mark(mark.decode()).node
    except ValueError:
        return ""
