"""May a node take a VM over with its replica, behind either door: one function says it."""

from mcv.document.arms import has_leases
from mcv.document.disks import DrbdDisk
from mcv.document.model import Vm
from mcv.drbd import notes, pairs, stale_marks
from mcv.errors import Refused
from mcv.ha.env import Unknown
from mcv.host import Host
from mcv.rules import takeover


def may_be_taken(host: Host, vm: Vm, disk: DrbdDisk) -> takeover.Problem | None:
    """What forbids that this node takes its replica for the whole truth; None where nothing does.

    Precondition: the document calls the owner offline, and is the newest where it lies in etcd:
    from then on the owner marks nothing more. With leases, the owner has marked a replica before it
    went on without it. Otherwise what this node has seen decides: when it was in step.
    """
    seen = pairs.evidence(host, vm, disk)
    if (note := notes.read(host.settings.notes, disk.resource, notes.BEHIND)) is not None:
        return takeover.why_not_by_note(vm, seen, note.get("since", "an unknown time"))
    if not has_leases(host.read()):
        return takeover.why_not_promote(vm, seen)
    try:
        mark, _ = stale_marks.read(host).get(disk.resource, (None, 0))
    except Unknown as error:
        refusal = Refused(f"Whether {vm.name} is marked is not known: {error}.", "Try again.")
        return takeover.Problem(refusal, False)
    if mark is None:
        return takeover.why_not_by_mark(vm, seen, "", "")
    return takeover.why_not_by_mark(vm, seen, mark.node, stale_marks.in_words(mark))
