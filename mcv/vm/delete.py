"""Deleting a VM with its disks, and nothing that is not its own."""

from mcv.document.model import Vm
from mcv.document.subject import Subject
from mcv.errors import PeerUnreachable, Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.rules import preconditions, saved
from mcv.vm import power, saved_states
from mcv.vm.answers import Deleted
from mcv.vm.plans import delete_plan


def delete(
    host: Host,
    name: str,
    keep_disks: bool = False,
    discard_saved: bool = False,
    dry_run: bool = False,
) -> Deleted | DryRun:
    """Delete a stopped VM on every node that holds a part of it."""

    def prepare() -> Prepared[Deleted]:
        vm, copies = require_deletable(host, name, discard_saved)
        kept = [disk.volume for disk in vm.disks] if keep_disks else []
        plan = delete_plan(vm, keep_disks, discard_saved, copies)
        return Prepared(plan, Deleted(name=name, kept=kept))

    return host.operate(Subject.vm(name), f"delete {name}", prepare, dry_run)


def require_deletable(host: Host, name: str, discard_saved: bool) -> tuple[Vm, list[str]]:
    """The VM, and the other nodes with a saved state of it; else Refused with every reason."""
    host.consensus.require_contact()
    vm = preconditions.owned(host.both(), host.name, name)
    preconditions.unclaimed(host.both(), host.job.id, name)
    problems: list[Refused] = []
    for require in (preconditions.unlocked, preconditions.unprotected):
        try:
            require(vm)
        except Refused as problem:
            problems.append(problem)
    try:
        power.require_stopped(host, name)
    except Refused as problem:
        problems.append(problem)
    states = {host.name: host.domains.saved.of(name)}
    for node in sorted({node for disk in vm.disks for node in disk.places} - {host.name}):
        try:
            preconditions.online(host.read(), node)
            states[node] = saved_states.elsewhere(host, name, node)
        except PeerUnreachable as problem:
            problems.append(
                PeerUnreachable(
                    f"{node} holds a replica of {name} and does not answer.", problem.hint
                )
            )
        except Refused as problem:
            problems.append(problem)
    problems += saved.why_not_change(vm, states, discard_saved)
    refuse_all(problems)
    return vm, [node for node, state in states.items() if state is not None and node != vm.node]
