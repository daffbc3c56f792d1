"""Changing a VM's definition, and the administrator's lock on it."""

from typing import Any

from mcv import sizes
from mcv.errors import refuse_all
from mcv.host import Host, shown
from mcv.rules import preconditions
from mcv.vm.plans import update_plan
from mcv.vm.validation import LEAST_MEMORY, MOST_MEMORY, Problems


def update(
    host: Host,
    name: str,
    memory: str | None = None,
    cpus: int | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Change memory or CPUs; what is not named stays. It counts from the next start on."""
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
    if dry_run:
        return shown(update_plan(vm, size, cpus))
    with host.claim(f"vm:{name}", f"update {name}"):
        vm = preconditions.owned(host.both(), host.name, name)
        preconditions.unlocked(vm)
        host.carry_out(f"update {name}", update_plan(vm, size, cpus), f"vm:{name}")
    vm = host.read().vm(name)
    return {
        "name": name,
        "memory": vm.memory,
        "cpus": vm.cpus,
        "said": f"{sizes.shown(vm.memory)}, {vm.cpus} CPUs",
        "active": host.domains.is_active(name),
    }


def lock(host: Host, name: str) -> dict[str, Any]:
    """Hold a VM as it is: no start, stop, migration, update or deletion."""
    host.update("vm.lock", f"lock {name}", name=name, locked=True)
    return {"name": name, "locked": True}


def unlock(host: Host, name: str) -> dict[str, Any]:
    host.update("vm.lock", f"unlock {name}", name=name, locked=False)
    return {"name": name, "locked": False}
