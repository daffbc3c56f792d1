"""Joining: one SSH session, every check first, then one operation that can be taken back."""

import contextlib
from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from mcv.cluster import armed_return, cpu_baseline, etcd_members, remote_facts, suitability
from mcv.cluster.facts import NodeFacts
from mcv.cluster.joining import STAGED_FOR, Stage, StagedMember
from mcv.document.arms import is_pair
from mcv.document.model import Node, encode
from mcv.document.names import problem_with_node_name
from mcv.document.schema_4 import words_of_node
from mcv.document.subject import Subject
from mcv.drbd import secret
from mcv.errors import (
    CallLost,
    CommandFailed,
    McvError,
    NotMember,
    NotThatNode,
    PeerUnreachable,
    Refused,
    RepairNeeded,
    refuse_all,
)
from mcv.host import DryRun, Host, Prepared
from mcv.system import ssh
from mcv.system.addresses import canonical
from mcv.transaction.plan import Item, Step, change, on


class Joined(Struct, frozen=True, kw_only=True):
    """A new member and its addresses; `warning` is what VMs will stumble on there, or ""."""

    node: str
    ip_address: str
    drbd_address: str
    warning: str = ""


class HostKey(Struct, frozen=True, kw_only=True):
    """An SSH host key, and whether this host knows it already."""

    fingerprint: str
    type: str
    known: bool


def host_key(host: Host, ip_address: str, node: str) -> HostKey:
    """The SSH host key at an address, for a human to compare.

    Raises Refused for an address, or a name, that cannot be a new member's.
    """
    _refuse_early(host, node, ip_address)
    ip_address = canonical(ip_address)
    key = ssh.host_key(ip_address)
    return HostKey(fingerprint=key.fingerprint, type=key.type, known=key.known)


def add_plan(
    member: Node,
    me: str,
    why: str,
    of_etcd: etcd_members.Added = etcd_members.NOTHING,
    of_ha: Sequence[Item] = (),
) -> list[Item]:
    """Write it down as offline, bring it the document and the secret, bring it online.

    Where the document lies in etcd, the new node is trusted there before, and votes after. In an
    armed cluster it is armed before it is online. Being online commits the plan; the way back
    makes the node blank again.
    """
    return [
        Step(
            change("node.add", node=words_of_node(member), why=why),
            undo=change("node.remove", name=member.name),
        ),
        *of_etcd.first,
        Step(
            on(me, "member.welcome", node=member.name),
            undo=on(me, "member.dismiss", node=member.name, must=True),
        ),
        Step(on(me, "member.hand_secret", node=member.name)),
        *of_etcd.last,
        *of_ha,
        Step(change("node.online", name=member.name), commits=True),
    ]


def add_node(
    host: Host,
    node: str,
    ip_address: str,
    password: str | None = None,
    host_key: str | None = None,
    dry_run: bool = False,
) -> Joined | DryRun:
    """Join a blank node to this cluster.

    Raises Refused, with every reason, before anything is written on either side; Failed
    when it was begun and everything was taken back on both.
    """
    host.consensus.require_contact()
    _refuse_early(host, node, ip_address)
    ip_address = canonical(ip_address)
    host.job.progress(f"looking at {node} over SSH")
    with ssh.connect(ip_address, password, host_key) as remote:

        def prepare() -> Prepared[Joined]:
            theirs = remote_facts.suitable(host, remote, node, ip_address)
            member = _entry(host, node, ip_address, theirs)
            of_etcd = etcd_members.joining(host.read(), node, host.name, host.job.id)
            of_ha = armed_return.steps(host.read(), node, host.name)
            return Prepared(
                add_plan(member, host.name, f"add node {node}", of_etcd, of_ha),
                Joined(node=node, ip_address=ip_address, drbd_address=member.drbd_address),
                around=_staged_there(host, remote, member),
            )

        joined = host.operate(Subject.node(node), f"add node {node}", prepare, dry_run)
        if isinstance(joined, DryRun):
            return joined
        return msgspec.structs.replace(joined, warning=cpu_baseline.warning(host, node))


def _entry(host: Host, node: str, ip_address: str, theirs: NodeFacts) -> Node:
    """The new member as the document will have it. Raises Refused where it cannot run etcd."""
    cluster = host.read()
    if cluster.store is not None and etcd_members.has_place(cluster) and theirs.etcd_lacks:
        refuse_all([Refused(f"{node} cannot run etcd yet.", why) for why in theirs.etcd_lacks])
    if cluster.ha.armed:
        refuse_all(armed_return.why_not(cluster, theirs.watchdog, node))
    return Node(
        name=node,
        hostname=theirs.hostname,
        ip_address=ip_address,
        drbd_address=theirs.drbd_address or ip_address,
        certificate=theirs.certificate,
        status="offline",
        etcd_certificate=theirs.etcd_certificate if cluster.store is not None else "",
    )


def _refuse_early(host: Host, node: str, ip_address: str) -> None:
    """Raises Refused for what this node knows to be no new member, without a look at it."""
    cluster = host.read()
    early = [problem_with_node_name(node), suitability.address_problem(cluster, ip_address)]
    if node in cluster.nodes:
        early.append(Refused(f"{node} is a member already.", "See: mcv info"))
    if is_pair(cluster):
        early.append(
            Refused("Two nodes are armed without leases, and three with.", "First: mcv ha disarm")
        )
    early += etcd_members.why_not_joining(host, cluster)
    refuse_all([problem for problem in early if problem is not None])


@contextlib.contextmanager
def _staged_there(host: Host, remote: ssh.Remote, member: Node) -> Iterator[None]:
    """Stage the join on the new node, and take that back if the operation was undone.

    Precondition: the node has been judged. While this lasts the new node's address is known.
    """
    _stage(remote, Stage(operation=host.job.id, members=_members(host)))
    host.joining[member.name] = member
    try:
        yield
    except RepairNeeded:
        raise
    except McvError:
        _unstage(host, remote, member.name)
        raise
    finally:
        host.joining.pop(member.name, None)


def _stage(remote: ssh.Remote, stage: Stage) -> None:
    try:
        remote.run("mcv", "cluster", "stage-join", stdin=msgspec.json.encode(stage).decode())
    except CommandFailed as error:
        raise Refused(f"The join could not be begun: {error.message}", error.hint) from error


def _unstage(host: Host, remote: ssh.Remote, node: str) -> None:
    """Have the node forget a join that failed; what it failed of is told in any case."""
    try:
        remote.run("mcv", "cluster", "unstage-join", host.job.id)
    except CommandFailed as error:
        minutes = STAGED_FOR / 60
        host.job.progress(f"{node} forgets the join within {minutes:.0f} min: {error.message}")


def _members(host: Host) -> list[StagedMember]:
    return [
        StagedMember(name=member.name, ip_address=member.ip_address, certificate=member.certificate)
        for member in host.read().nodes.values()
        if member.status == "online"
    ]


# Steps of the plan, on the node that carries it out.


def welcome(host: Host, node: str) -> None:
    """Bring a node that was staged its first document."""
    claim = host.read().node(node).claim
    operation = claim.operation if claim else ""
    host.call(node, "member.adopt", document=encode(host.read()), operation=operation)


def dismiss(host: Host, node: str, must: bool = False, voted: bool = False) -> None:
    """Make a node blank again; harmless where it is: then it does not know this node.

    Raises PeerUnreachable for a silent node if it must be told, or if it voted in etcd and does
    not any more; else the node is left as it is, and what was staged there ends by itself after
    ten minutes.
    """
    try:
        host.call(node, "member.blank")
    except (NotMember, NotThatNode) as error:
        host.job.progress(f"{node} is blank already: {error.message}")
    except (PeerUnreachable, CallLost) as error:
        if voted:
            raise PeerUnreachable(
                f"{node} was not told: {error.message}", "When it is back, there: mcv cluster leave"
            ) from error
        if must or isinstance(error, CallLost):
            raise
        host.job.progress(f"{node} was not told: {error.message}")


def hand_secret(host: Host, node: str) -> None:
    secret.hand(host, node)
