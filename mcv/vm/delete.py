"""Deleting a VM with its disks, and nothing that is not its own."""

from mcv.document.model import Vm
from mcv.document.subject import Subject
from mcv.errors import PeerUnreachable, Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.rules import preconditions
from mcv.vm import power
from mcv.vm.answers import Deleted
from mcv.vm.plans import delete_plan


def delete(
    host: Host, name: str, keep_disks: bool = False, dry_run: bool = False
) -> Deleted | DryRun:
    """Delete a stopped VM on every node that holds a part of it."""

    def prepare() -> Prepared[Deleted]:
        vm = require_deletable(host, name)
        kept = [disk.volume for disk in vm.disks] if keep_disks else []
        return Prepared(delete_plan(vm, keep_disks), Deleted(name=name, kept=kept))

    return host.operate(Subject.vm(name), f"delete {name}", prepare, dry_run)


def require_deletable(host: Host, name: str) -> Vm:
    host.consensus.require_contact()
    vm = preconditions.owned(host.both(), host.name, name)
    preconditions.unclaimed(host.both(), host.job.id, name)
    problems: list[Refused] = []
    try:
        preconditions.unlocked(vm)
    except Refused as problem:
        problems.append(problem)
    try:
        power.require_stopped(host, name)
    except Refused as problem:
        problems.append(problem)
    for node in sorted({node for disk in vm.disks for node in disk.places}):
        try:
            preconditions.online(host.read(), node)
            host.call(node, "config.poll")
        except PeerUnreachable as problem:
            problems.append(
                PeerUnreachable(
                    f"{node} holds a replica of {name} and does not answer.", problem.hint
                )
            )
        except Refused as problem:
            problems.append(problem)
    refuse_all(problems)
    return vm
