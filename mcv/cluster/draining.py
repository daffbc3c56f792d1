"""A node is drained and restored, or evacuated: its VMs go elsewhere, and come back to it.

The node that carries the plan out is another one than the node that is drained: a node that is
offline in the document changes nothing.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence

from msgspec import Struct

from mcv.cluster import armed_return, service_departures, takeovers
from mcv.cluster.departures import Departure
from mcv.cluster.service_departures import Leaving
from mcv.cluster.takeovers import TakenOver
from mcv.document.model import Cluster, Vm
from mcv.document.subject import Subject
from mcv.drbd.in_step import Syncing
from mcv.errors import McvError, Refused, in_full, with_hint
from mcv.host import DryRun, Host, Prepared
from mcv.system.answers import decoded
from mcv.transaction.plan import Item, Step, change, on

ASK = 120.0  # s that a node has to judge all of its VMs
DAYS = 14 * 24 * 3600.0
POLL = 1.0  # s between two looks at what is waited for
AGAIN = 10.0  # s between two attempts to move a VM that is waited for
APART = 60.0  # s in which the replicas of a VM that goes back find each other


class Emptied(Struct, frozen=True, kw_only=True):
    """A node, the VMs that went elsewhere from there, and those that could not when it began."""

    node: str
    moved: list[str]
    left: list[str]


class Restored(Struct, frozen=True, kw_only=True):
    """A node that takes VMs again, and the VMs that went back to it, their home."""

    node: str
    moved: list[str]


def drain(
    host: Host, node: str, shutdown: bool = False, wait: bool = False, dry_run: bool = False
) -> Emptied | DryRun:
    """Let a node take no new VMs, move its VMs elsewhere, then take it offline for maintenance.

    With `shutdown` a VM that cannot move while it runs is shut down, moved and started. With
    `wait` a VM that cannot leave yet is waited for. Errors: DoneInPart where VMs are left: the
    node stays draining, and the same command goes on.
    """

    def prepare() -> Prepared[Emptied]:
        return drained(host, node, shutdown, wait)

    return host.operate(Subject.node(node), f"drain node {node}", prepare, dry_run)


def drained(
    host: Host, node: str, shutdown: bool = False, wait: bool = False, then: Sequence[Step] = ()
) -> Prepared[Emptied]:
    """The plan of a drain, and what follows it. Errors: Refused where it cannot be drained."""
    cluster = _require_emptied(host, node)
    leaving = asked(host, cluster, node, shutdown)
    services = service_departures.leaving(host, cluster, node)
    plan = [
        Step(change("node.drain", name=node), commits=True),
        *service_departures.steps(host, node, services),
        *departure_steps(host, node, leaving, shutdown, wait),
        Step(on(host.name, "node.await_idle", node=node), may_fail=True),
        Step(change("node.maintenance", name=node), may_fail=True),
        *then,
    ]
    return _prepared(host, node, plan, leaving, services, "Then it is offline for maintenance.")


def evacuate(
    host: Host, node: str, shutdown: bool = False, dry_run: bool = False
) -> Emptied | TakenOver | DryRun:
    """Move the VMs of a living node elsewhere now; the node goes on taking VMs.

    The VMs of a node that is offline in the document are taken over. Errors: Refused where none
    of its VMs can leave; DoneInPart where some are left.
    """
    if host.read().node(node).status == "offline":
        return takeovers.take_all_over(host, node, dry_run)

    def prepare() -> Prepared[Emptied]:
        cluster = _require_emptied(host, node)
        leaving = asked(host, cluster, node, shutdown)
        services = service_departures.leaving(host, cluster, node)
        moving = [each.to for each in leaving if each.to] + [
            each.to for each in services if each.to
        ]
        if leaving and not moving:
            said = [(departure.said(node), departure.hint) for departure in leaving]
            said += [(service.line(node), "") for service in services]
            raise Refused(f"No VM can leave {node}.", "", said)
        steps = departure_steps(host, node, leaving, shutdown)
        moves = service_departures.steps(host, node, services)
        plan = [Step(change("barrier"), commits=True), *moves, *steps]
        return _prepared(host, node, plan, leaving, services)

    return host.operate(Subject.node(node), f"evacuate {node}", prepare, dry_run)


def _require_emptied(host: Host, node: str) -> Cluster:
    """The document. Errors: Refused unless the node is online and another one takes VMs."""
    host.consensus.require_contact()
    cluster = host.read()
    member = cluster.node(node)
    # A node that died while it was drained is offline too, but not for maintenance.
    if member.maintenance:
        is_so = "drained already" if member.draining else "offline for maintenance already"
        raise Refused(f"{node} is {is_so}.", f"Its way back: mcv node restore {node}")
    if member.status == "offline":
        raise Refused(f"{node} is offline.", f"Its VMs are taken over by: mcv evacuate {node}")
    if cluster.online == [node]:
        resting = [name for name, other in sorted(cluster.nodes.items()) if other.maintenance]
        way = f"mcv node restore {resting[0]}" if resting else f"mcv node reboot {node} --shutdown"
        hint = f"Its VMs have no other place. {'First' if resting else 'With them'}: {way}"
        raise Refused(f"{node} is the last node online.", hint)
    return cluster


def asked(host: Host, cluster: Cluster, node: str, shutdown: bool) -> list[Departure]:
    """How each VM of a node would leave it, in the order of their names, as the node says."""
    names = sorted(vm.name for vm in cluster.vms.values() if vm.node == node)
    answer = host.call(node, "node.departures", timeout=ASK, names=names, shutdown=shutdown)
    return decoded(node, "node.departures", answer, list[Departure])


def departure_steps(
    host: Host, node: str, leaving: list[Departure], shutdown: bool, wait: bool = False
) -> list[Item]:
    """A step for each VM: each moves whole or not at all, and none holds another one up."""
    return [
        Step(
            on(
                host.name,
                "node.send_away",
                node=node,
                name=departure.name,
                who=host.job.who,
                shutdown=shutdown,
                wait=wait,
                restarts=departure.way == "shutdown",
            ),
            may_fail=True,
        )
        for departure in leaving
    ]


def _prepared(
    host: Host,
    node: str,
    plan: list[Item],
    leaving: list[Departure],
    services: list[Leaving],
    end: str = "",
) -> Prepared[Emptied]:
    places = {each.name: each.to for each in services}
    places |= {departure.name: departure.to for departure in leaving}
    answer = Emptied(
        node=node,
        moved=[name for name, to in places.items() if to],
        left=[name for name, to in places.items() if not to],
    )
    lines = [service.line(node) for service in services]
    lines += [line for departure in leaving for line in departure.lines(node)]
    lines += [end] if end else []
    stuck = [service.line(node) for service in services if not service.to]
    stuck += [departure.said(node) for departure in leaving if not departure.to]
    return Prepared(
        plan, answer, preview=lambda plan: DryRun(plan=lines), around=between_vms(host, stuck)
    )


@contextlib.contextmanager
def between_vms(host: Host, stuck: Sequence[str] = ()) -> Iterator[None]:
    """Let the job be cancelled: it ends before the next VM moves.

    What cannot move is told before the first step: what a job waits for is shown as a line.
    """
    for said in stuck:
        host.job.progress(f"waiting for the others to leave; {said}")
    with host.job.may_be_cancelled(waits=False):
        yield


def restore(host: Host, node: str, dry_run: bool = False) -> Restored | DryRun:
    """End a drain and its maintenance, then move the VMs back whose home the node is.

    A VM goes back as soon as the replica there has all of its data. Said again, it goes on with
    what is left. Errors: DoneInPart where a VM stays where it is.
    """

    def prepare() -> Prepared[Restored]:
        host.consensus.require_contact()
        cluster = host.read()
        member = cluster.node(node)
        if member.status == "offline" and not member.maintenance:
            raise Refused(f"{node} is offline.", "It comes back by itself when mcvd runs there.")
        if node != host.name:
            host.call(node, "config.poll")
        coming = [vm for vm in cluster.vms.values() if vm.home == node and vm.node != node]
        coming.sort(key=lambda vm: (vm.start_order, vm.name))
        services = service_departures.homecomers(cluster, node)
        is_away = member.draining or member.maintenance
        plan: list[Item] = [
            *armed_return.before(cluster, node),
            Step(change("node.restore", name=node) if is_away else change("barrier"), commits=True),
            *(_return(host, node, vm) for vm in coming),
            *service_departures.steps_home(host, node, services),
        ]
        places = {vm.name: vm.node for vm in coming} | {one.name: one.node for one in services}
        lines = [f"{node} takes VMs again."] * is_away + [
            f"{name} goes from {there} back to {node}." for name, there in places.items()
        ]
        answer = Restored(node=node, moved=list(places))
        return Prepared(
            plan, answer, preview=lambda plan: DryRun(plan=lines), around=between_vms(host)
        )

    return host.operate(Subject.node(node), f"restore node {node}", prepare, dry_run)


def _return(host: Host, node: str, vm: Vm) -> Step:
    back = on(host.name, "node.bring_home", node=node, name=vm.name, who=host.job.who)
    return Step(back, may_fail=True)


# Steps, on the node that carries the plan out.


def send_away(
    host: Host,
    node: str,
    name: str,
    who: str,
    shutdown: bool = False,
    wait: bool = False,
    restarts: bool = False,
) -> None:
    """Have a VM's owner move it away; with `wait`, again and again until that succeeds.

    Without effect where the VM is not that node's any more. Errors: Cancelled; McvError, in a
    sentence that names the VM.
    """
    asked = {"node": node, "name": name, "who": who, "shutdown": shutdown, "restarts": restarts}
    while (vm := host.read().vms.get(name)) is not None and vm.node == node:
        host.job.check_cancelled()
        try:
            host.call(node, "node.give_away", timeout=DAYS, **asked)
            return
        except McvError as error:
            if not wait:
                raise _named(name, node, error) from error
            host.job.progress(f"waiting: {error.message}")
        _pause(host, AGAIN)


def bring_home(host: Host, node: str, name: str, who: str) -> None:
    """Have a VM's owner move it to its home, when the replicas of the VM are in step.

    Without effect where the VM is there, or its home is another node. Errors: as send_away; also
    where the replicas do not find each other.
    """
    vm = host.read().vms.get(name)
    if vm is None or vm.node == node or vm.home != node:
        return
    try:
        await_in_step(host, vm)
        asked = {"node": node, "name": name, "who": who, "to": node}
        host.call(vm.node, "node.give_away", timeout=DAYS, **asked)
    except McvError as error:
        raise _named(name, vm.node, error) from error


def await_in_step(host: Host, vm: Vm) -> None:
    """Wait until the replicas of a VM are in step, as its owner says; may be cancelled.

    Errors: McvError where they do not find each other.
    """
    since, most = time.monotonic(), 0
    while True:
        host.job.check_cancelled()
        answer = host.call(vm.node, "node.syncing", name=vm.name)
        seen = decoded(vm.node, "node.syncing", answer, Syncing)
        if seen.is_in_step:
            return
        if not seen.is_apart:
            since = time.monotonic()
        elif time.monotonic() - since > APART:
            raise McvError("its replicas are not connected.", "See: mcv drbd list")
        most = max(most, seen.left)
        if most:
            host.job.progress(f"resync {vm.name}", most - seen.left, most, "B")
        time.sleep(POLL)


def _pause(host: Host, seconds: float) -> None:
    """Wait; Cancelled as soon as somebody cancels the job."""
    host.job.cancelled.wait(seconds)
    host.job.check_cancelled()


def _named(name: str, node: str, error: McvError) -> McvError:
    """An error in a sentence that names the VM, and says that it stays; what helps follows it.

    The hint is part of the message: a plan with several such errors tells each message.
    """
    said = in_full(error)
    text = said if name in said.split() else f"{name} stays on {node}: {said}"
    return McvError(with_hint(text, error.hint))
