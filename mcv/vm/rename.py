"""Rename: a stopped VM gets another name; its UUID, and the names of its volumes, stay."""

from mcv.document.model import Vm
from mcv.document.names import problem_with_name
from mcv.document.subject import Subject
from mcv.errors import Busy, Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.rules import preconditions
from mcv.transaction.plan import Item, Step, change, on
from mcv.vm import (
    boot_files,
    changing,
    console_logs,
    definition,
    domains_elsewhere,
    power,
    run_notes,
)
from mcv.vm.answers import Renamed


def rename(host: Host, name: str, new: str, dry_run: bool = False) -> Renamed | DryRun:
    """Give a stopped VM another name, in the document and on its owner.

    Its disks keep the names of their volumes and resources, which the document holds. Raises
    Refused, with all that stands in the way, where the VM is active, saved, locked, verified
    at the moment, or has a disk that is leaving or mirrored, and where the name is taken.
    """

    def prepare() -> Prepared[Renamed]:
        vm = _require_renamable(host, name, new)
        return Prepared(rename_plan(vm, new), Renamed(name=new, former=name, node=vm.node))

    return host.operate(Subject.vm(name), f"rename {name} to {new}", prepare, dry_run)


def rename_plan(vm: Vm, new: str) -> list[Item]:
    """Write the name down, which commits it, and then define the owner's domain by it.

    In between the owner's domain has the former name: it is the VM's all the same, by its UUID,
    and the next definition replaces it.
    """
    return [
        Step(change("vm.rename", name=vm.name, new=new), commits=True),
        Step(on(vm.node, "vm.take_name", name=new, former=vm.name)),
    ]


def _require_renamable(host: Host, name: str, new: str) -> Vm:
    vm = changing.owned(host, name)
    problems: list[Refused] = []
    if problem := problem_with_name(new, "VM"):
        problems.append(problem)
    elif any(new in cluster.vms for cluster in host.both()):
        problems.append(Refused(f"There is a VM {new} already.", "See: mcv list"))
    else:
        problems += domains_elsewhere.foreign(host, new, needed=[])
    for judge in (preconditions.unlocked, lambda vm: power.require_stopped(host, vm.name)):
        try:
            judge(vm)
        except Refused as problem:
            problems.append(problem)
    problems += changing.why_saved(host, vm)
    if name in host.verifying:
        problems.append(Busy(f"{name} is being verified.", f"Wait for it: mcv verify {name}"))
    for disk in vm.disks:
        if disk.leaving or disk.mirror_of:
            what = "is leaving" if disk.leaving else "is being moved"
            message = f"Disk {disk.id} of {name} {what}."
            problems.append(Refused(message, f"See: mcv disk list {name}"))
    refuse_all(problems)
    return vm


# A step of a plan: the dispatcher holds the lock and has checked the claim.


def take_name(host: Host, name: str, former: str) -> None:
    """Define a renamed VM's domain by its name, with what its guest said; harmless when done."""
    cluster = host.both()[-1]
    host.domains.define(definition.of(host, cluster.vm(name)))
    if former in cluster.vms:
        return  # the name is another VM's by now, and its files too
    console_logs.rename(former, name)
    boot_files.remove(former)
    run_notes.remove(host, former)
