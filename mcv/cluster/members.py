"""Members: removed, offline and back."""

import functools
from collections.abc import Callable, Sequence
from secrets import token_hex

from msgspec import Struct

from mcv.cluster import armed_return, etcd_members, taking
from mcv.document.arms import has_leases, is_pair
from mcv.document.availability import EvidenceKind
from mcv.document.model import Cluster
from mcv.document.subject import Subject
from mcv.errors import McvError, NotMember, NotThatNode, Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.settings import PEER_PORT
from mcv.system import ping
from mcv.system.fanout import ask_all
from mcv.transaction.plan import Item, Step, change, on


class Removed(Struct, frozen=True):
    """A node that is no member any more."""

    node: str


class Offline(Struct, frozen=True):
    """Nodes that are offline now."""

    offline: list[str]


class Online(Struct, frozen=True):
    """A node that is online again."""

    online: str


ANSWER = 1.5  # seconds in which a host that lives answers to a connection


def remove_plan(
    node: str,
    me: str,
    online: bool,
    secret: str,
    of_etcd: etcd_members.Added = etcd_members.NOTHING,
) -> list[Item]:
    """Take the node offline, make it blank (the commit point), remove it with its claim.

    Before that the DRBD secret is replaced, where a secret's id is given: the node keeps what
    it knows. A node that is offline already is not told; the first change commits then. Where
    the document lies in etcd, a voter leaves that first, which commits; it may be silent then.
    """
    plan: list[Item] = [*of_etcd.first]
    if online:
        plan.append(Step(change("node.offline", name=node), undo=change("node.online", name=node)))
    plan += of_etcd.then
    is_committed = bool(of_etcd.then)
    if online:
        asked = {"voted": True} if is_committed else {"must": True}
        dismiss = on(me, "member.dismiss", node=node, **asked)
        plan.append(Step(dismiss, commits=not is_committed, may_fail=is_committed))
        is_committed = True
    if of_etcd.last and not is_committed:
        plan.append(Step(change("barrier"), commits=True))
        is_committed = True
    plan += of_etcd.last
    if secret:
        plan.append(Step(on(me, "drbd.renew_secret", node=node, id=secret)))
        plan.append(Step(change("drbd.secret", id=secret), commits=not is_committed))
        is_committed = True
    plan.append(Step(change("node.remove", name=node), commits=not is_committed))
    return plan


def remove_node(
    host: Host, node: str, force: bool = False, dry_run: bool = False
) -> Removed | DryRun:
    """Take a member out. It owns no VM and holds no replica; force is for one declared offline."""

    def prepare() -> Prepared[Removed]:
        return Prepared(_removal(host, node, force), Removed(node=node))

    return host.operate(Subject.node(node), f"remove node {node}", prepare, dry_run)


def _moved_by(cluster: Cluster, held: list[str], node: str) -> str:
    """The command that moves the replicas that a node holds: all of a dead node, or the first.

    Where no other node could get the replica, the disk becomes one of its owner alone.
    """
    disks = cluster.vm(held[0]).disks
    first = next(disk for disk in disks if node in disk.places)
    if set(cluster.online) <= {*first.places, node}:
        kind = "thin" if "/" in first.places[node] else "lvm"
        return f"mcv disk move {held[0]} {first.id} --storage {kind}"
    if cluster.node(node).status == "offline":
        return f"mcv node replace {node} --by N"
    return f"mcv disk move {held[0]} {first.id} --from {node} --to N"


def _removal(host: Host, node: str, force: bool) -> list[Item]:
    host.consensus.require_contact()
    cluster = host.read()
    member = cluster.node(node)
    problems = etcd_members.why_not_leaving(host, cluster, node)
    if list(cluster.nodes) == [node]:
        problems.append(Refused(f"{node} is the only node."))
    owned = sorted(vm.name for vm in cluster.vms.values() if vm.node == node)
    held = sorted(
        vm.name
        for vm in cluster.vms.values()
        if vm.node != node and any(node in disk.places for disk in vm.disks)
    )
    if owned:
        problems.append(
            Refused(f"{node} owns {', '.join(owned)}.", f"Move them first: mcv evacuate {node}")
        )
    if held:
        problems.append(
            Refused(
                f"{node} holds a replica of {', '.join(held)}.",
                f"First: {_moved_by(cluster, held, node)}",
            )
        )
    if member.status == "offline" and not force:
        problems.append(
            Refused(
                f"{node} is offline, so it cannot be told.",
                f"mcv cluster remove-node --node {node} --force",
            )
        )
    if member.status == "online" and node != host.name:
        try:
            host.call(node, "config.poll")
        except McvError as error:
            problems.append(
                Refused(
                    error.message,
                    f"{host.advice(node)}. A node that is offline is removed with: "
                    f"mcv cluster remove-node --node {node} --force",
                )
            )
    refuse_all(problems)
    # A cluster with a member of an earlier version has no place for the secret's id.
    renews = cluster.drbd.enabled and cluster.schema >= 2
    secret = token_hex(8) if renews else ""
    of_etcd = etcd_members.leaving(cluster, node, host.name, host.job.id)
    return remove_plan(node, host.name, member.status == "online", secret, of_etcd)


def offline(
    host: Host, names: list[str], confirm_dead: bool = False, dry_run: bool = False
) -> Offline | DryRun:
    """Take nodes offline: for maintenance, a living node; or, on an operator's word, the dead."""
    cluster = host.read()
    for name in names:
        cluster.node(name)
    if confirm_dead and dry_run:
        _refuse_alive(host, names)
        return DryRun(plan=[])
    if confirm_dead:
        change = host.job.next_change()
        declare(host, names, change, host.job.who, f"{' '.join(names)} is dead")
        return Offline(offline=names)
    if len(names) != 1:
        raise Refused("One node at a time goes into maintenance.")
    name = names[0]
    _refuse_busy(cluster, name)
    if dry_run:
        return DryRun(plan=[])
    host.update("node.offline", f"node offline {name}", name=name, maintenance=True)
    return Offline(offline=names)


def _refuse_busy(cluster: Cluster, name: str) -> None:
    """Raises Refused while a node owns VMs or services, or carries an operation out.

    The others could take its operations over as soon as it is offline, while it is at work.
    """
    problems = []
    owned = sorted(vm.name for vm in cluster.vms.values() if vm.node == name)
    owned += sorted(one.name for one in cluster.services.values() if one.node == name)
    if owned:
        problems.append(
            Refused(f"{name} owns {', '.join(owned)}.", f"Move them first: mcv node drain {name}")
        )
    claims = [cluster.claim_of(subject) for subject in cluster.subjects()]
    work = {claim.operation: claim.why for claim in claims if claim and claim.node == name}
    for operation, why in work.items():
        problems.append(
            Refused(f"{name} is at work: {why}.", f"Wait for it with: mcv job wait {operation}")
        )
    refuse_all(problems)


def declare(
    host: Host,
    names: list[str],
    change: str,
    who: str,
    why: str,
    survivors: list[str] | None = None,
    leave_etcd: bool = False,
    evidence: EvidenceKind = "word",
) -> None:
    """Call members dead, unless one of them answers in any way; see Consensus.declare.

    On an armed cluster their leases are taken with it; where it has none the document keeps the
    evidence. A node that was seen off, and silent, is looked for once only.
    """
    if evidence != "off":
        _refuse_alive(host, names)
    cluster = host.read()
    if has_leases(cluster) and not leave_etcd:
        taking.take(host, names, change, who, why, lambda: _alive(host, names))
        return
    host.consensus.declare(
        names,
        id=change,
        who=who,
        why=why,
        alive=lambda: _alive(host, names),
        survivors=survivors or [],
        leave_etcd=leave_etcd,
        evidence=evidence if is_pair(cluster) else None,
    )


def _alive(host: Host, names: list[str]) -> list[str]:
    return [name for name in names if is_alive(host, name)]


def _refuse_alive(host: Host, names: list[str]) -> None:
    """Raises Refused while the host of one of these members answers in any way."""
    back = _alive(host, names)
    answer = "answers, so it is" if len(back) == 1 else "answer, so they are"
    if back:
        raise Refused(
            f"{' and '.join(back)} {answer} not dead.",
            "Power it off first, or: mcv node offline NODE, for maintenance.",
        )


def online(host: Host, name: str) -> Online:
    """End maintenance, or bring back a node that is there again."""
    node = host.read().node(name)
    if node.status == "online":
        hint = f"mcv node restore {name}" * node.draining
        raise Refused(f"{name} is online already.", hint)
    why = f"node online {name}"
    with armed_return.awaited(host):
        if node.draining and node.maintenance:
            armed_return.bring_online(host, "node.restore", why, name=name)
        else:
            armed_return.bring_online(host, "node.online", why, name=name, maintenance=True)
    return Online(online=name)


def is_alive(host: Host, name: str) -> bool:
    """Whether a member's host answers in any way, unless another machine answers for it.

    Another machine is one whose mcvd shows another key. One that has the key and does not
    know this node may be blank; or this node was removed, and it is very much alive.
    """
    node = host.read().node(name)
    ports = [disk.port for _, disk in host.read().replicated() if name in disk.places][:3]
    looks: dict[str, Callable[[], bool]] = {
        "mcvd": lambda: _is_that_node(host, name),
        "address": lambda: answers_at_all(node.ip_address),
        "drbd": lambda: answers_at_all(node.drbd_address, ports),
    }

    def look(path: str, _: str, timeout: float) -> bool:
        return looks[path]()

    told = ask_all(look, looks, "", 2 * ANSWER)
    by_mcvd = told.pop("mcvd")
    return by_mcvd if isinstance(by_mcvd, bool) else True in told.values()


def _is_that_node(host: Host, name: str) -> bool:
    """What a member's mcvd says about it; McvError where it does not say."""
    try:
        host.call(name, "config.poll", timeout=ANSWER)
    except NotThatNode:
        return False
    except NotMember:
        return True
    return True


def answers_at_all(address: str, ports: Sequence[int] = (22, PEER_PORT)) -> bool:
    """Whether anything at an address answers: to a ping, or to a connection, be it refused."""
    paths: dict[str, Callable[[], bool]] = {"icmp": lambda: ping.pings(address, ANSWER)}
    for port in ports:
        paths[str(port)] = functools.partial(ping.answers, address, port, ANSWER)

    def look(path: str, _: str, timeout: float) -> bool:
        return paths[path]()

    return True in ask_all(look, paths, "", ANSWER + 0.5).values()


def come_back(host: Host) -> None:
    """One round of the loop: a node that is offline in the document asks to be online again.

    Not while another node's operation is about it; its own one goes on when it is back.
    """
    cluster = host.read()
    node = cluster.nodes.get(host.name)
    if node is None or node.status == "online" or node.maintenance or not cluster.online:
        return
    if node.claim is not None and node.claim.node != host.name:
        return
    armed_return.bring_online(host, "node.online", f"{host.name} is back", name=host.name)
    host.tell("online again", host.name)
