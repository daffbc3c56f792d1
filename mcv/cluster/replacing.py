"""A dead node replaced: every replica that it holds goes to another node, in one plan."""

import re
from collections.abc import Iterator

from msgspec import Struct

from mcv.document.disks import DrbdDisk
from mcv.document.model import Cluster, Vm
from mcv.document.subject import Subject
from mcv.errors import McvError, Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.rules import preconditions
from mcv.storage import room_for
from mcv.storage.rooms import IMPLICIT
from mcv.system.answers import decoded
from mcv.transaction.plan import Item, Step, change, on
from mcv.vm.capacity import Capacity
from mcv.vm.replica_move import Problem

ASK = 20.0  # s that an owner, or the new node, has to answer

Replica = tuple[Vm, DrbdDisk]


class NodeReplaced(Struct, frozen=True, kw_only=True):
    """Whose replicas went from a dead node to another, and which VMs were on it alone."""

    node: str
    by: str
    moved: list[str]
    lost: list[str]


def replace(host: Host, node: str, by: str, dry_run: bool = False) -> NodeReplaced | DryRun:
    """Give another node every replica of a node that is offline, each verified.

    Each VM's owner moves its replicas, one after the other; what cannot be moved is told at the
    end, and the rest is moved all the same. Raises Refused with the problems of every VM at
    once; DoneInPart where a VM was left: the same command goes on with it.
    """

    def prepare() -> Prepared[NodeReplaced]:
        host.consensus.require_contact()
        cluster = host.read()
        _require_replaceable(cluster, node, by)
        replicas = held(cluster, node)
        refuse_all([*_problems(host, cluster, replicas, node, by)])
        answer = NodeReplaced(
            node=node,
            by=by,
            moved=sorted({vm.name for vm, _ in replicas}),
            lost=lost(cluster, node),
        )
        said = _said(answer, len(replicas))
        return Prepared(
            replace_plan(replicas, node, by, host.job.who),
            answer,
            preview=lambda plan: DryRun(plan=[*plan, *said]),
        )

    title = f"replace node {node} by {by}"
    return host.operate(Subject.node(node), title, prepare, dry_run)


def held(cluster: Cluster, node: str) -> list[Replica]:
    """The replicated disks with a replica on a node, but for VMs that are lost with it."""
    gone = lost(cluster, node)
    return [
        (vm, disk)
        for vm, disk in sorted(cluster.replicated(), key=lambda known: (known[0].name, known[1].id))
        if node in disk.places and vm.name not in gone
    ]


def lost(cluster: Cluster, node: str) -> list[str]:
    """The VMs with a disk whose bytes are on a node and nowhere else."""
    return sorted(
        vm.name
        for vm in cluster.vms.values()
        if any(set(disk.places) == {node} for disk in vm.disks)
    )


def replace_plan(replicas: list[Replica], node: str, by: str, who: str) -> list[Item]:
    """Have each owner move its replicas. Each is moved whole or not at all, so none is undone
    for another one's sake: the plan is committed at once, and each step may fail."""
    moves = [
        Step(
            on(
                vm.node,
                "disk.replace_here",
                name=vm.name,
                disk=disk.id,
                source=node,
                to=by,
                who=who,
            ),
            may_fail=True,
        )
        for vm, disk in replicas
    ]
    return [Step(change("barrier"), commits=True), *moves]


def _said(answer: NodeReplaced, count: int) -> list[str]:
    """What the operator has to know before."""
    risk = f"{count} replicas move; until each is verified its VM has one replica, its owner's."
    lines = [risk] if count else []
    return lines + [
        f"{name} is lost with {answer.node}: its disks are there alone." for name in (answer.lost)
    ]


def _require_replaceable(cluster: Cluster, node: str, by: str) -> None:
    """Errors: Refused unless the node is offline, and the other one a member that is online."""
    problems = []
    if cluster.node(node).status == "online":
        problems.append(
            Refused(
                f"{node} is online.",
                f"Where it is dead: mcv node offline {node} --confirm-dead; a replica of a node "
                f"that lives moves with: mcv disk move VM ID --from {node} --to {by}",
            )
        )
    if by == node:
        problems.append(Refused(f"{node} cannot be replaced by itself."))
    else:
        problems += preconditions.why_not_accepting(cluster, by)
    refuse_all(problems)


def _problems(
    host: Host, cluster: Cluster, replicas: list[Replica], node: str, by: str
) -> Iterator[Refused]:
    """What forbids it, named for each VM; then the room for all replicas together."""
    clean = True
    for vm, disk in replicas:
        for problem in _of_replica(host, vm, disk, node, by):
            clean = False
            is_named = re.search(rf"(?<![\w-]){vm.name}(?![\w-])", problem.message)
            where = "" if is_named else f"{vm.name}: "
            yield Refused(f"{where}{problem.message}", problem.hint)
    if clean and len(replicas) > 1:
        yield from _room(host, [disk for _, disk in replicas], by)


def _of_replica(host: Host, vm: Vm, disk: DrbdDisk, node: str, by: str) -> list[Problem]:
    if vm.node == node:
        message = f"{vm.name} belongs to {node}, which is offline."
        other = disk.other(node)
        return [Problem(message=message, hint=f"First: mcv register {vm.name} --node {other}")]
    asked = {"name": vm.name, "disk": disk.id, "source": node, "to": by}
    try:
        answer = host.call(vm.node, "disk.why_not_replace", timeout=ASK, **asked)
        return decoded(vm.node, "disk.why_not_replace", answer, list[Problem])
    except McvError as error:
        return [Problem(message=error.message, hint=error.hint)]


def _room(host: Host, disks: list[DrbdDisk], by: str) -> Iterator[Refused]:
    """Whether each pool of the new node has room for all replicas that go there."""
    answer = host.call(by, "node.capacity", timeout=ASK)
    rooms = decoded(by, "node.capacity", answer, Capacity).rooms
    for pool in sorted({disk.pool or IMPLICIT for disk in disks}):
        there = [disk for disk in disks if (disk.pool or IMPLICIT) == pool]
        yield from room_for.why_not(by, pool, rooms[pool], there)
