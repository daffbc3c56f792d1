"""What each change of a VM asks before it looks at what it is to change."""

from mcv.document.model import Vm
from mcv.errors import Refused
from mcv.host import Host
from mcv.rules import preconditions, saved
from mcv.vm.validation import Problems


def owned(host: Host, name: str) -> Vm:
    """The VM of this node. Raises Refused, NotFound or Busy unless the node may change it now."""
    host.consensus.require_contact()
    vm = preconditions.owned(host.both(), host.name, name)
    preconditions.unclaimed(host.both(), host.job.id, name)
    return vm


def owned_or_left_behind(host: Host, name: str, may_be_left_behind: bool) -> Vm:
    """The VM of this node, or of one that is offline, and which no administrator has locked.

    What ties a VM to its owner can be taken from it, so that it can be taken over. Raises Refused,
    NotFound or Busy.
    """
    host.consensus.require_contact()
    cluster = host.read()
    vm = cluster.vm(name)
    if not may_be_left_behind or vm.node in cluster.online:
        vm = preconditions.owned(host.both(), host.name, name)
    preconditions.unclaimed(host.both(), host.job.id, name)
    preconditions.unlocked(vm)
    return vm


def note_lock(vm: Vm, problems: Problems) -> None:
    """An administrator's lock goes to problems: an operator can take it away."""
    try:
        preconditions.unlocked(vm)
    except Refused as problem:
        problems.found.append(problem)


def why_saved(host: Host, vm: Vm) -> list[Refused]:
    """What forbids to change a VM that is saved on this node: its memory would not fit any more."""
    states = {host.name: host.domains.saved.of(vm.name)}
    return saved.why_not_change(vm, states, False, saved.by_a_start(vm))
