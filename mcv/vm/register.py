"""Recovery: define a VM where it belongs, take it over from a node that is gone, or let go."""

from mcv import storage
from mcv.document.model import Vm
from mcv.document.subject import Subject
from mcv.document.vm_nics import macs_of
from mcv.errors import Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.rules import disk_bus, preconditions, takeover, tied
from mcv.rules.domain import why_foreign
from mcv.transaction.plan import Item, Step, change, on
from mcv.vm import definition, domains_elsewhere, macs, power, processor, run_notes
from mcv.vm.answers import Registered, Unregistered


def register(
    host: Host, name: str, accept_stale: bool = False, dry_run: bool = False
) -> Registered | DryRun:
    """Define a VM on this node, which owns it; or own what an offline node owned.

    Taking over is refused unless the document calls the owner offline. A replica here that
    may lack what the owner wrote is taken with `accept_stale` alone, an Inconsistent replica never.
    """
    vm = host.read().vm(name)
    if vm.node == host.name:
        return _define_here(host, vm)
    old = vm.node

    def prepare() -> Prepared[Registered]:
        host.consensus.require_contact()
        _require_takeable(host, name, accept_stale)
        answer = Registered(name=name, node=host.name, taken_over_from=old)
        return Prepared(takeover_plan(vm, host.name, accept_stale), answer)

    return host.operate(Subject.vm(name), f"take {name} over from {old}", prepare, dry_run)


def _define_here(host: Host, vm: Vm) -> Registered:
    """Define the VM on its owner and bring its disks up, both harmless where it is so."""
    with host.hold(Subject.vm(vm.name), f"register {vm.name}"):
        preconditions.unclaimed(host.both(), host.job.id, vm.name)
        preconditions.no_foreign(host.name, host.domains.foreign(vm.name))
        refuse_all(macs.why_taken(host, vm.name, macs_of(vm)))
        host.domains.define(definition.of(host, vm))
        for disk in vm.disks:
            storage.of(disk).bring_up(host)
    return Registered(name=vm.name, node=host.name, taken_over_from=None)


def takeover_plan(vm: Vm, node: str, accept_stale: bool) -> list[Item]:
    """Assign the VM to the survivor, which commits the plan, then define it there.

    Its home stays; a VM of before schema 4 has none, and members of before know no such word.
    """
    home = {"home": False} if vm.home else {}
    plan: list[Item] = [
        Step(change("vm.assign", name=vm.name, node=node, **home), commits=True),
        Step(on(node, "vm.define", name=vm.name)),
    ]
    if accept_stale:
        plan += storage.stale_takeover(vm, node)
    return plan


def _require_takeable(host: Host, name: str, accept_stale: bool) -> None:
    cluster = host.read()
    vm = cluster.vm(name)
    preconditions.unclaimed(host.both(), host.job.id, name)
    preconditions.unlocked(vm)
    preconditions.accepting(cluster, host.name)
    owner = cluster.node(vm.node)
    if owner.status == "online":
        raise Refused(
            f"{name} belongs to {vm.node}, which is online in the document.",
            f"Move it with: mcv migrate --node {host.name} {name}. If {vm.node} does not answer: "
            f"{host.advice(vm.node)}",
        )
    elsewhere = [node for node in vm.nodes if node != vm.node]
    if host.name not in vm.nodes and elsewhere:
        raise Refused(
            f"{host.name} holds no replica of {name}.",
            f"It can be taken over by {', '.join(elsewhere)}.",
        )
    problems = [
        *domains_elsewhere.copies(host, name, but=[host.name]),
        *processor.why_not_here(host, vm),
        *tied.why_not_move(vm),
        *disk_bus.why_mirrored(vm),
        *macs.why_taken(host, vm.name, macs_of(vm)),
    ]
    if (foreign := host.domains.foreign(name)) is not None:
        problems.append(why_foreign(host.name, foreign))
    for disk in vm.disks:
        problem = storage.of(disk).why_not_take_over(host, vm)
        if problem is not None and not (accept_stale and problem.may_be_accepted):
            problems.append(problem.refusal)
    refuse_all(problems)


def prospects(host: Host, name: str) -> list[str]:
    """What a takeover by this node would rest on, in words: shown before it is asked for."""
    vm = host.read().vm(name)
    of_disks = [line for disk in vm.disks for line in storage.of(disk).prospects(host, vm)]
    return takeover.prospects(vm, of_disks, host.observations.last_heard(vm.node))


def unregister(host: Host, name: str) -> Unregistered:
    """Take the definition away on the owner; the VM stays in the document, its disks too."""
    vm = preconditions.owned(host.both(), host.name, name)
    preconditions.unlocked(vm)
    with host.hold(Subject.vm(name), f"unregister {name}"):
        preconditions.unclaimed(host.both(), host.job.id, name)
        power.require_stopped(host, name)
        preconditions.without_memory(name, host.name, host.domains.saved.of(name))
        host.domains.undefine(name)
        run_notes.remove(host, name)
        power.demote(host, vm)
    return Unregistered(name=name, node=host.name)
