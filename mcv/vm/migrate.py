"""Moving a VM to the node that holds its other replica."""

from typing import Any

from mcv import storage
from mcv.document.disks import DrbdDisk
from mcv.document.model import Cluster, Vm
from mcv.document.subject import Subject
from mcv.drivers.libvirt_xml import parse_needs
from mcv.errors import McvError, Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.network import needs
from mcv.rules import managed, preconditions, saved, tied
from mcv.rules.domain import why_foreign
from mcv.sizes import shown as shown_size
from mcv.storage import moves
from mcv.storage.moves import DiskMove
from mcv.system.answers import decoded
from mcv.transaction.plan import Item, Step, on
from mcv.vm import bootable, copies, domains_elsewhere, overrides, power, processor
from mcv.vm.answers import Moved
from mcv.vm.plans import copied_plan, offline_plan


def migrate(
    host: Host,
    name: str,
    to: str | None = None,
    wait_for_shutdown: bool = False,
    timeout: float | None = None,
    start_after_migration: bool = False,
    ignore_verify: bool = False,
    discard_saved: bool = False,
    dry_run: bool = False,
    keeps_home: bool = False,
) -> Moved | DryRun:
    """Move a stopped VM, by default to its only other node; with wait_for_shutdown, a running one
    as soon as it has ended. The new node is its home, unless it keeps the home that it has.

    Nothing is claimed and nothing has been changed while the guest is waited for. Raises
    Refused, with every problem; Failed when it was begun and undone.
    """
    to = to or only_place(host, name)
    waits = wait_for_shutdown and not dry_run and host.domains.is_active(name)
    if waits and host.domains.state(name) == "paused":
        raise Refused(f"{name} is paused.", preconditions.resume_or_stop(name))
    if waits:
        require_movable(
            host,
            name,
            to,
            ignore_verify,
            may_run=True,
            discard_saved=discard_saved,
            keeps_home=keeps_home,
        )
        _wait_for_end(host, name, timeout)

    def prepare() -> Prepared[Moved]:
        may_run = wait_for_shutdown and dry_run
        vm = require_movable(
            host,
            name,
            to,
            ignore_verify,
            may_run,
            discard_saved=discard_saved,
            keeps_home=keeps_home,
        )
        disk_moves = copies.to_node(host, vm, to)
        plan = [
            *overrides.steps(host, vm, "migrate", ignore_verify),
            *_plan(host, vm, to, disk_moves, discard_saved, keeps_home),
        ]
        if start_after_migration:
            plan.append(_start(vm, to, ignore_verify))
        plan += moves.end_steps(name, disk_moves)
        return Prepared(plan, Moved(name=name, node=to, started=start_after_migration))

    return host.operate(Subject.vm(name), f"migrate {name} to {to}", prepare, dry_run)


def _start(vm: Vm, to: str, ignore_verify: bool) -> Step:
    """The start after a move. A verification that failed since the move was begun forbids it."""
    flag = {"ignore_verify": True} if ignore_verify else {}
    return Step(on(to, "vm.power_on", name=vm.name, **flag), may_fail=True)


def _plan(
    host: Host,
    vm: Vm,
    to: str,
    disk_moves: list[DiskMove],
    discard_saved: bool,
    keeps_home: bool,
) -> list[Item]:
    """The steps by the kinds of the VM's disks, without a start."""
    if not disk_moves:
        return offline_plan(vm, to, False, discard_saved, keeps_home)
    pools = copies.new_pools(host, vm, disk_moves)
    return copied_plan(vm, to, disk_moves, discard_saved, pools, keeps_home)


def only_place(host: Host, name: str) -> str:
    """The only other node that a VM can run on.

    Refused where there is none, or several, or something ties the VM to its node.
    """
    vm = host.read().vm(name)
    refuse_all(tied.why_not_move(vm))
    others = moves.candidates(host.read(), vm)
    if not others:
        raise Refused(
            f"{name} has no other place: its disks and their pools are on {vm.node} alone.",
            "See: mcv pool list",
        )
    if len(others) > 1:
        raise Refused(f"{name} can move to {' or '.join(others)}.", "Say where: --node NODE")
    return others[0]


def _wait_for_end(host: Host, name: str, timeout: float | None) -> None:
    """Wait for a guest that nobody has asked to end: that is its operator's to do.

    Raises Refused when it has not ended within timeout seconds.
    """
    how = f"mcv shutdown {name}, or shut it down from inside, or pull the plug: mcv stop {name}"
    if not power.wait_for_end(host, name, timeout, f"; nobody has asked it to. Next: {how}"):
        raise Refused(
            f"{name} has not shut down within {timeout:g} s, and nobody asked it to.",
            f"Nothing was changed. It ends by: {how}",
        )


def require_movable(
    host: Host,
    name: str,
    to: str,
    ignore_verify: bool,
    may_run: bool,
    live: bool = False,
    discard_saved: bool = False,
    keeps_home: bool = False,
) -> Vm:
    """The VM, if it can be moved now; else Refused with every reason at once.

    A move that keeps the home is none that an operator has chosen the node for.
    """
    host.consensus.require_contact()
    vm = preconditions.owned(host.both(), host.name, name)
    if to == vm.node:
        raise Refused(f"{name} is on {to} already.")
    cluster = host.read()
    cluster.node(to)
    preconditions.unclaimed(host.both(), host.job.id, name)
    problems: list[Refused] = []
    try:
        preconditions.unlocked(vm)
    except Refused as problem:
        problems.append(problem)
    problems += tied.why_not_move(vm)
    if not keeps_home:
        problems += managed.why_not_put(cluster, name, to)
    others = moves.candidates(cluster, vm)
    if to not in others:
        problems.append(_no_place(cluster, vm, to, others))
    if not may_run:
        try:
            power.require_stopped(host, name)
        except Refused as problem:
            way = f"mcv migrate --node {to}"
            waiting = f"; or: {way} --online {name}; or: {way} --wait-for-shutdown {name}"
            hears = host.domains.state(name) == "running"
            problems.append(Refused(problem.message, problem.hint + waiting * hears))
    problems += storage.why_not_move(host, vm, ignore_verify)
    problems += domains_elsewhere.copies(host, name, but=[host.name, to])
    states = {host.name: host.domains.saved.of(name)}
    problems += saved.why_not_change(vm, states, discard_saved)
    if to in others:
        problems += _target_problems(host, vm, to, live, discard_saved)
    refuse_all(problems)
    return vm


def _no_place(cluster: Cluster, vm: Vm, to: str, others: list[str]) -> Refused:
    """Why a VM cannot move to a node, by the first disk that has no place there."""
    can = f"It can move to {', '.join(others)}." if others else ""
    for disk in vm.disks:
        if to in moves.nodes_for(cluster, disk):
            continue
        if isinstance(disk, DrbdDisk):
            break
        return Refused(
            f"Pool {disk.pool}, where disk {disk.id} of {vm.name} is, is not on {to}.",
            can or f"mcv pool add-node {disk.pool} --node {to} --location L",
        )
    return Refused(f"{to} holds no replica of {vm.name}.", can or "It has no other replica.")


def _target_problems(host: Host, vm: Vm, to: str, live: bool, discard_saved: bool) -> list[Refused]:
    """What the node that it would move to lacks: asked there, so it must answer."""
    preconditions.accepting(host.read(), to)
    bridges = bootable.bridges_of(host, vm, to)
    xml = host.domains.xml(vm.name) if live else ""
    asked: dict[str, Any] = {"name": vm.name, "memory": vm.memory, "bridges": bridges, "xml": xml}
    if discard_saved:
        asked["discard_saved"] = True
    try:
        answer = host.call(to, "vm.fits", **asked)
        lacking = decoded(to, "vm.fits", answer, list[tuple[str, str]])
    except McvError as error:
        return [Refused(f"{to} is needed: {error.message}", error.hint)]
    return [Refused(message, hint) for message, hint in lacking]


def fits(
    host: Host,
    name: str,
    memory: int,
    bridges: list[str],
    xml: str = "",
    discard_saved: bool = False,
) -> list[tuple[str, str]]:
    """What this node lacks to run a VM: (message, hint) each; nothing where it fits.

    With the XML that it runs with, also what it lacks to take it over while it runs.
    """
    found = _lacking(host, memory, xml) if xml else []
    lacking = bootable.no_bridges(host, bridges)
    lacking += needs.why_not_here(host, host.read(), host.read().vm(name))
    found += dict.fromkeys((problem.message, problem.hint) for problem in lacking)
    for problem in processor.why_not_here(host, host.read().vm(name)):
        found.append((problem.message, problem.hint))
    if host.domains.is_active(name):
        found.append(
            (f"A domain {name} is active on {host.name} already.", "See: mcv cluster check")
        )
    if (foreign := host.domains.foreign(name)) is not None:
        refusal = why_foreign(host.name, foreign)
        found.append((refusal.message, refusal.hint))
    states = {host.name: host.domains.saved.of(name)}
    for problem in saved.why_not_change(host.read().vm(name), states, discard_saved):
        found.append((problem.message, problem.hint))
    if host.is_leaving:
        found.append((f"{host.name} is shutting down.", "See: mcv info"))
    if not host.consensus.in_contact:
        found.append((f"{host.name} is not in contact with the cluster yet.", "Try again."))
    return found


def _lacking(host: Host, memory: int, xml: str) -> list[tuple[str, str]]:
    """What a domain that arrives running would not find here."""
    found = []
    free = host.domains.memory_free()
    if free < memory:
        found.append(
            (
                f"{host.name} has {shown_size(free)} of memory free, {shown_size(memory)} needed.",
                "Stop or move another VM there.",
            )
        )
    problem = _foreign_emulator(host, xml) or host.domains.why_not_host(xml)
    if problem:
        found.append((f"{host.name} cannot take it as it runs: {problem}", "Move it stopped."))
    return found


def _foreign_emulator(host: Host, xml: str) -> str:
    """Why a domain's emulator is none of this node's; "" where it is.

    libvirt runs an emulator to learn what it can, so no other node may name one.
    """
    emulator = parse_needs(xml).emulator
    known = {host.settings.emulator, *host.domains.capabilities().emulators.values()}
    return "" if emulator in known else f"it runs no VM with {emulator[:80]!a}."
