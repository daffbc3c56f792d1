"""Changing a VM's definition, and the administrator's lock on it."""

from mcv import sizes
from mcv.document.subject import Subject
from mcv.errors import refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.rules import preconditions
from mcv.vm.answers import Locked, Updated
from mcv.vm.plans import update_plan
from mcv.vm.validation import LEAST_MEMORY, MOST_MEMORY, Problems


def update(
    host: Host,
    name: str,
    memory: str | None = None,
    cpus: int | None = None,
    dry_run: bool = False,
) -> Updated | DryRun:
    """Change memory or CPUs; what is not named stays. It counts from the next start on."""

    def prepare() -> Prepared[Updated]:
        return _prepare_update(host, name, memory, cpus)

    return host.operate(Subject.vm(name), f"update {name}", prepare, dry_run)


def _prepare_update(
    host: Host, name: str, memory: str | None, cpus: int | None
) -> Prepared[Updated]:
    host.consensus.require_contact()
    vm = preconditions.owned(host.both(), host.name, name)
    preconditions.unclaimed(host.both(), host.job.id, name)
    preconditions.unlocked(vm)
    problems = Problems()
    if memory is None and cpus is None:
        problems.add("There is nothing to change.", "Say --memory SIZE or --cpus N.")
    size = None if memory is None else problems.size(memory, "memory", LEAST_MEMORY, MOST_MEMORY)
    if cpus is not None:
        problems.cpus(cpus)
    refuse_all(problems.found)
    new_memory = vm.memory if size is None else size
    new_cpus = vm.cpus if cpus is None else cpus
    answer = Updated(
        name=name,
        memory=new_memory,
        cpus=new_cpus,
        said=f"{sizes.shown(new_memory)}, {new_cpus} CPUs",
        active=host.domains.is_active(name),
    )
    return Prepared(update_plan(vm, size, cpus), answer)


def lock(host: Host, name: str) -> Locked:
    """Hold a VM as it is: no start, stop, migration, update or deletion."""
    host.update("vm.lock", f"lock {name}", name=name, locked=True)
    return Locked(name=name, locked=True)


def unlock(host: Host, name: str) -> Locked:
    host.update("vm.lock", f"unlock {name}", name=name, locked=False)
    return Locked(name=name, locked=False)
