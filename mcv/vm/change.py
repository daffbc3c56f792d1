"""Changing a VM's definition, and the administrator's lock on it."""

from msgspec.structs import replace

from mcv import sizes
from mcv.document.model import Vm
from mcv.document.subject import Subject
from mcv.errors import refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.rules import preconditions, saved
from mcv.vm import image_use, pending
from mcv.vm.answers import Locked, Updated
from mcv.vm.plans import update_plan
from mcv.vm.validation import LEAST_MEMORY, MOST_MEMORY, Problems, StartSettings


def update(
    host: Host,
    name: str,
    memory: str | None = None,
    cpus: int | None = None,
    autostart: str | None = None,
    start_order: int | None = None,
    start_delay: int | None = None,
    iso: str | None = None,
    discard_saved: bool = False,
    dry_run: bool = False,
) -> Updated | DryRun:
    """Change memory, CPUs, or how the VM starts with its node; what is not named stays.

    A VM that runs has at once what libvirt can bring about, and the rest from its next start on;
    the CD (`iso`, "" for none) at once where it runs with a drive. They are refused while the VM
    is saved: it would go on as it was, unless its memory is given up.
    """

    def prepare() -> Prepared[Updated]:
        start = (autostart, start_order, start_delay)
        return _prepare_update(host, name, memory, cpus, start, iso, discard_saved)

    answer = host.operate(Subject.vm(name), f"update {name}", prepare, dry_run)
    return answer if isinstance(answer, DryRun) else _with_pending(host, answer)


def _with_pending(host: Host, answer: Updated) -> Updated:
    told = [difference.text for difference in pending.settled(host, answer.name)]
    return replace(answer, pending=told, active=bool(told))


def _prepare_update(
    host: Host,
    name: str,
    memory: str | None,
    cpus: int | None,
    start: tuple[str | None, int | None, int | None],
    cd: str | None,
    discard_saved: bool,
) -> Prepared[Updated]:
    host.consensus.require_contact()
    vm = preconditions.owned(host.both(), host.name, name)
    preconditions.unclaimed(host.both(), host.job.id, name)
    preconditions.unlocked(vm)
    problems = Problems()
    if (memory, cpus, cd, *start) == (None,) * 6:
        problems.add("There is nothing to change.", "See: mcv update --help")
    size = None if memory is None else problems.size(memory, "memory", LEAST_MEMORY, MOST_MEMORY)
    if cpus is not None:
        problems.cpus(cpus)
    settings = problems.start_settings(host.read(), *start)
    if cd is not None:
        problems.found += image_use.why_not_change(host.read(), vm, cd)
    if (memory, cpus, cd) != (None, None, None):
        states = {host.name: host.domains.saved.of(name)}
        problems.found += saved.why_not_change(vm, states, discard_saved)
    refuse_all(problems.found)
    plan = update_plan(vm, size, cpus, settings, discard_saved, cd)
    return Prepared(plan, _answer(host, vm, size, cpus, settings, cd))


def _answer(
    host: Host,
    vm: Vm,
    memory: int | None,
    cpus: int | None,
    start: StartSettings,
    cd: str | None,
) -> Updated:
    new_memory = vm.memory if memory is None else memory
    new_cpus = vm.cpus if cpus is None else cpus
    is_resized = memory is not None or cpus is not None
    words = [f"{sizes.shown(new_memory)}, {new_cpus} CPU{'s'[: new_cpus != 1]}"] * is_resized
    words += [f"CD {cd}" if cd else "no CD"] * (cd is not None)
    words += [
        f"{option} {value}"
        for option, value in (
            ("autostart", start.autostart),
            ("start order", start.start_order),
            ("start delay", start.start_delay),
        )
        if value is not None
    ]
    return Updated(
        name=vm.name,
        memory=new_memory,
        cpus=new_cpus,
        said=", ".join(words),
        active=False,
    )


def lock(host: Host, name: str) -> Locked:
    """Hold a VM as it is: no start, stop, migration, update or deletion."""
    host.update("vm.lock", f"lock {name}", name=name, locked=True)
    return Locked(name=name, locked=True)


def unlock(host: Host, name: str) -> Locked:
    host.update("vm.lock", f"unlock {name}", name=name, locked=False)
    return Locked(name=name, locked=False)
