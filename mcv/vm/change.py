"""Changing a VM's definition, and the administrator's lock on it."""

from msgspec.structs import asdict, replace

from mcv import sizes
from mcv.document.generation import Value
from mcv.document.model import Vm
from mcv.document.subject import Subject
from mcv.errors import Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.rules import saved
from mcv.vm import changing, image_use, pending, placing, processor
from mcv.vm.answers import Locked, Updated
from mcv.vm.plans import update_plan
from mcv.vm.property_choice import UNNAMED, Chosen, Judge, PropertyRequest
from mcv.vm.validation import LEAST_MEMORY, MOST_MEMORY, Problems


def update(
    host: Host,
    name: str,
    memory: str | None = None,
    cpus: int | None = None,
    autostart: str | None = None,
    start_order: int | None = None,
    start_delay: int | None = None,
    iso: str | None = None,
    cpu_model: str | None = None,
    boot: list[str] | None = None,
    firmware: str | None = None,
    cpu_limit: str | None = None,
    io_limit: str | None = None,
    watchdog: str | None = None,
    video: str | None = None,
    keyboard: str | None = None,
    clock: str | None = None,
    protect: str | None = None,
    description: str | None = None,
    tags: list[str] | None = None,
    discard_saved: bool = False,
    dry_run: bool = False,
) -> Updated | DryRun:
    """Change properties of a VM in one agreed change; what is not named stays.

    A VM that runs has at once what libvirt can bring about, and the rest from its next start on;
    the CD (`iso`, "" for none) at once where it runs with a drive. What its domain is made of is
    not changed while the VM is saved: it would go on as it was, unless its memory is given up.
    Raises Refused with every reason at once; DoneInPart where the document has the change, and
    libvirt refused a part of it.
    """
    request = UpdateRequest(
        memory=memory,
        cpus=cpus,
        start=(autostart, start_order, start_delay),
        cd=iso,
        properties=PropertyRequest(
            cpu_model=cpu_model,
            boot=boot,
            firmware=firmware,
            cpu_limit=cpu_limit,
            io_limit=io_limit,
            watchdog=watchdog,
            video=video,
            keyboard=keyboard,
            clock=clock,
            protect=protect,
            description=description,
            tags=tags,
        ),
    )

    def prepare() -> Prepared[Updated]:
        return _prepare_update(host, name, request, discard_saved)

    answer = host.operate(Subject.vm(name), f"update {name}", prepare, dry_run)
    return answer if isinstance(answer, DryRun) else _with_pending(host, answer)


class UpdateRequest(Value, frozen=True, kw_only=True):
    """What is to change, as typed; None is what was not named."""

    memory: str | None
    cpus: int | None
    start: tuple[str | None, int | None, int | None]
    cd: str | None
    properties: PropertyRequest


NOTHING = UpdateRequest(
    memory=None, cpus=None, start=(None, None, None), cd=None, properties=UNNAMED
)


def _with_pending(host: Host, answer: Updated) -> Updated:
    told = [difference.text for difference in pending.settled(host, answer.name)]
    return replace(answer, pending=told, active=bool(told))


def _prepare_update(
    host: Host, name: str, request: UpdateRequest, discard_saved: bool
) -> Prepared[Updated]:
    vm = changing.owned(host, name)
    problems = Problems()
    changing.note_lock(vm, problems)
    chosen = _judged(host, vm, request, problems)
    if chosen.is_of_domain:
        states = {host.name: host.domains.saved.of(name)}
        problems.found += saved.why_not_change(vm, states, discard_saved)
    refuse_all(problems.found)
    plan = update_plan(host.read().schema, vm, chosen.values, chosen.is_of_domain, discard_saved)
    return Prepared(plan, _answer(vm, chosen))


def _judged(host: Host, vm: Vm, request: UpdateRequest, problems: Problems) -> Chosen:
    """The values that were asked for; what is wrong with them goes to problems."""
    cluster = host.read()
    if request == NOTHING:
        problems.add("There is nothing to change.", "See: mcv update --help")
    chosen = Chosen()
    if request.memory is not None:
        size = problems.size(request.memory, "memory", LEAST_MEMORY, MOST_MEMORY)
        chosen.set("memory", size, sizes.shown(size))
    if request.cpus is not None:
        problems.cpus(request.cpus)
        chosen.set("cpus", request.cpus, f"{request.cpus} CPU{'s'[: request.cpus != 1]}")
    start = problems.start_settings(cluster, *request.start)
    for key, value in asdict(start).items():
        if value is not None:
            chosen.set(key, value, f"{key.replace('_', ' ')} {value}")
    if request.cd is not None:
        problems.found += image_use.why_not_change(cluster, vm, request.cd)
        chosen.set("cd", request.cd, f"CD {request.cd}" if request.cd else "no CD")
    Judge(cluster, vm, chosen, problems.found).judge(request.properties)
    if not problems.found:
        problems.found += _why_not_on_nodes(host, vm, chosen)
    return chosen


def _why_not_on_nodes(host: Host, vm: Vm, chosen: Chosen) -> list[Refused]:
    """Why some node of the VM could not run it with that memory or processor."""
    new = chosen.applied_to(vm)
    nodes = [node for node in host.read().online if node in vm.nodes or node == host.name]
    found: list[Refused] = []
    if "memory" in chosen.values:
        found += placing.why_no_memory(host, new.memory, nodes)
    if "cpu" in chosen.values:
        found += processor.why_not(host, vm.name, new.cpu, nodes)
    return found


def _answer(vm: Vm, chosen: Chosen) -> Updated:
    new = chosen.applied_to(vm)
    return Updated(
        name=vm.name,
        memory=new.memory,
        cpus=new.cpus,
        said=", ".join(chosen.words),
        active=False,
    )


def lock(host: Host, name: str) -> Locked:
    """Hold a VM as it is: no start, stop, migration, update or deletion."""
    host.update("vm.lock", f"lock {name}", name=name, locked=True)
    return Locked(name=name, locked=True)


def unlock(host: Host, name: str) -> Locked:
    host.update("vm.lock", f"unlock {name}", name=name, locked=False)
    return Locked(name=name, locked=False)
