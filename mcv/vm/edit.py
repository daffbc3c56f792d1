"""An XML overlay on a VM's domain: judged, tried on each of its nodes, shown, written down."""

import difflib
import functools

from msgspec import Struct
from msgspec.structs import replace

from mcv.document import overlays
from mcv.document.model import Vm
from mcv.document.schema import older_member
from mcv.document.subject import Subject
from mcv.drivers import overlay as laying
from mcv.errors import McvError, Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.rules import overlay as judge
from mcv.rules import preconditions, tied
from mcv.system.answers import ask_typed
from mcv.transaction.plan import Item, Step, change, on
from mcv.vm import bootable, changing, definition, macs

TRIAL = 20.0  # s that a node has to try a definition


class OverlayView(Struct, frozen=True, kw_only=True):
    """The overlay of a VM, "" for none, and the XML of its domain with it."""

    name: str
    overlay: str
    xml: str


class Edited(Struct, frozen=True, kw_only=True):
    """A VM's new overlay. `diff` is what becomes of its domain's XML, `tied` why it cannot move.

    `active` is whether the VM runs, and has it from its next start on.
    """

    name: str
    overlay: str
    diff: str
    tied: list[str]
    active: bool


class EditPreview(DryRun, frozen=True, kw_only=True):
    """The plan of an edit, and its effect."""

    diff: str
    tied: list[str]


def show(host: Host, name: str, overlay: str | None = None) -> OverlayView:
    """The overlay that a VM has, or would have, and the XML of its domain with it.

    Raises Refused, with every reason, for an overlay that touches what it may not.
    """
    vm = preconditions.owned(host.both(), host.name, name)
    if overlay is not None:
        overlay = overlays.effective(overlay)
        refuse_all(judge.problems(host.read(), vm, overlay) if overlay else [])
        vm = replace(vm, overlay=overlay)
    return OverlayView(name=name, overlay=vm.overlay, xml=definition.of(host, vm))


def edit(host: Host, name: str, overlay: str, dry_run: bool = False) -> Edited | DryRun:
    """Lay another overlay over a VM's domain, "" for none, from its next start on.

    It is taken away also from a VM whose owner is offline, so that the VM can be taken over.
    Raises Refused, with every reason at once: what it touches and may not, a MAC that is taken,
    and what the libvirt of each node where the VM may run says against the domain.
    """
    overlay = overlays.effective(overlay)

    def prepare() -> Prepared[Edited]:
        vm = _editable(host, name, overlay)
        new = replace(vm, overlay=overlay)
        is_owner = vm.node == host.name
        diff = difference(host, vm, new) if is_owner else ""
        said = [reason.message for reason in tied.reasons(new)]
        return Prepared(
            edit_plan(new, defines=is_owner),
            Edited(
                name=name,
                overlay=overlay,
                diff=diff,
                tied=said,
                active=is_owner and host.domains.is_active(name),
            ),
            preview=functools.partial(EditPreview, diff=diff, tied=said),
        )

    return host.operate(Subject.vm(name), f"edit {name}", prepare, dry_run)


def edit_plan(new: Vm, defines: bool) -> list[Item]:
    """Write the overlay down, which commits the plan, then define the VM with it."""
    plan: list[Item] = [
        Step(change("vm.overlay", name=new.name, overlay=new.overlay), commits=True)
    ]
    if defines:
        plan.append(Step(on(new.node, "vm.define", name=new.name)))
    return plan


def _editable(host: Host, name: str, overlay: str) -> Vm:
    """The VM, where its overlay may become this one. Raises Refused, with every reason."""
    vm = changing.owned_or_left_behind(host, name, may_be_left_behind=not overlay)
    cluster = host.read()
    if cluster.schema < 4:
        raise older_member("An overlay cannot be written down")
    if overlay == vm.overlay:
        has = "this overlay already" if overlay else "no overlay"
        raise Refused(f"{name} has {has}.", f"See: mcv edit {name} --show")
    problems = judge.problems(cluster, vm, overlay) if overlay else []
    if overlay or vm.node in cluster.online:
        problems += changing.why_saved(host, vm)
    if overlay and not problems:
        problems += macs.why_of_domains(host, name, overlays.macs(overlay))
        problems += _tried(host, vm, overlay)
    refuse_all(problems)
    return vm


def _tried(host: Host, vm: Vm, overlay: str) -> list[Refused]:
    """What each node where the VM may run then says against its domain."""
    places = {vm.node, *tied.nodes(replace(vm, overlay=overlay))}
    nodes = sorted(places & set(host.read().online))
    answers = ask_typed(
        host.call,
        nodes,
        "vm.try_overlay",
        TRIAL,
        list[tuple[str, str]],
        name=vm.name,
        overlay=overlay,
    )
    problems = []
    for node, answer in answers.items():
        if isinstance(answer, McvError):
            problems.append(Refused(f"{node} is needed: {answer.message}", answer.hint))
        else:
            problems += [Refused(message, hint) for message, hint in answer]
    return problems


def try_overlay(host: Host, name: str, overlay: str) -> list[tuple[str, str]]:
    """What this node, by itself and its libvirt, says against the VM with an overlay.

    The domain is defined under another name and UUID, and undefined again: nothing stays.
    """
    cluster = host.read()
    new = replace(cluster.vm(name), overlay=overlay)
    problems = judge.problems(cluster, new, overlay)
    if problems:
        return [(problem.message, problem.hint) for problem in problems]
    lacking = bootable.no_bridges(host, laying.bridges(overlay))
    if said := host.domains.trials.why_not(definition.of(host, new)):
        lacking.append(Refused(f"libvirt on {host.name} does not take it: {said}."))
    return [(problem.message, problem.hint) for problem in lacking]


def difference(host: Host, old: Vm, new: Vm) -> str:
    """What becomes of the domain's XML, as a unified diff."""
    try:
        before = definition.of(host, old)
    except Refused:  # an overlay that may not be laid over: what it is taken from
        before = definition.of(host, replace(old, overlay=""))
    after = definition.of(host, new)
    lines = difflib.unified_diff(
        before.splitlines(),
        after.splitlines(),
        f"{old.name} as it is",
        f"{old.name} as it would be",
        lineterm="",
    )
    return "\n".join(lines)
