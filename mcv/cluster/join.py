"""Joining: one SSH session, every check first, then one operation that can be taken back."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from mcv.cluster import cpu_baseline, etcd_store, remote_facts, suitability
from mcv.document.model import Node, decode, encode
from mcv.document.names import problem_with_name
from mcv.document.schema_4 import words_of_node
from mcv.document.subject import Subject
from mcv.drbd import secret
from mcv.errors import (
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
from mcv.system import files, ssh
from mcv.system.addresses import canonical
from mcv.transaction.plan import Item, Step, change, on

STAGED_FOR = 600.0  # seconds that a join which was begun from outside may take


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


class StagedMember(Struct, frozen=True, kw_only=True):
    """A member that a staged node trusts."""

    name: str
    ip_address: str
    certificate: str


class Stage(Struct, frozen=True, kw_only=True):
    """A join as the cluster announces it to the node that joins."""

    operation: str
    members: list[StagedMember]


class StagedJoin(Stage, frozen=True, kw_only=True):
    """The same as the node keeps it, with the time of its beginning."""

    since: float


class OnNode(Struct, frozen=True, kw_only=True):
    """The node on which a step of a join was done."""

    node: str


def host_key(host: Host, ip_address: str, node: str) -> HostKey:
    """The SSH host key at an address, for a human to compare.

    Raises Refused for an address, or a name, that cannot be a new member's.
    """
    _refuse_early(host, node, ip_address)
    ip_address = canonical(ip_address)
    key = ssh.host_key(ip_address)
    return HostKey(fingerprint=key.fingerprint, type=key.type, known=key.known)


def add_plan(member: Node, me: str, why: str) -> list[Item]:
    """Write it down as offline, bring it the document and the secret, bring it online.

    Being online commits the plan; the way back makes the node blank again.
    """
    return [
        Step(
            change("node.add", node=words_of_node(member), why=why),
            undo=change("node.remove", name=member.name),
        ),
        Step(
            on(me, "member.welcome", node=member.name),
            undo=on(me, "member.dismiss", node=member.name, must=True),
        ),
        Step(on(me, "member.hand_secret", node=member.name)),
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
            member = Node(
                name=node,
                hostname=theirs.hostname,
                ip_address=ip_address,
                drbd_address=theirs.drbd_address or ip_address,
                certificate=theirs.certificate,
                status="offline",
            )
            return Prepared(
                add_plan(member, host.name, f"add node {node}"),
                Joined(node=node, ip_address=ip_address, drbd_address=member.drbd_address),
                around=_staged_there(host, remote, member),
            )

        joined = host.operate(Subject.node(node), f"add node {node}", prepare, dry_run)
        if isinstance(joined, DryRun):
            return joined
        return msgspec.structs.replace(joined, warning=cpu_baseline.warning(host, node))


def _refuse_early(host: Host, node: str, ip_address: str) -> None:
    """Raises Refused for what this node knows to be no new member, without a look at it."""
    cluster = host.read()
    early = [problem_with_name(node, "node"), suitability.address_problem(cluster, ip_address)]
    if node in cluster.nodes:
        early.append(Refused(f"{node} is a member already.", "See: mcv info"))
    early += etcd_store.why_members_stay(cluster)
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


# The side of the node that joins.


def stage_path(host: Host) -> Path:
    return host.settings.state / "staged.json"


def staged(host: Host) -> StagedJoin | None:
    """The join that was begun here and has not arrived, unless its time is over."""
    stage = files.read_or_set_aside(stage_path(host), StagedJoin)
    if stage is None or 0 <= time.time() - stage.since <= STAGED_FOR:
        return stage
    files.remove(stage_path(host))
    return None


def stage_join(host: Host, document: str) -> OnNode:
    """Trust the members of a cluster that is about to take this node in, for ten minutes.

    Raises Refused where this node is not blank, or where the text is no stage.
    """
    _require_joinable(host)
    try:
        given = msgspec.json.decode(document, type=Stage)
    except msgspec.DecodeError as error:
        raise Refused(f"This is no join that a cluster has begun: {error}.") from error
    stage = StagedJoin(since=time.time(), operation=given.operation, members=given.members)
    files.write_atomically(stage_path(host), msgspec.json.encode(stage).decode())
    return OnNode(node=host.name)


def unstage_join(host: Host, operation: str) -> OnNode:
    """Forget a join that failed; harmless when it is another join's or gone."""
    stage = staged(host)
    if stage is not None and stage.operation == operation:
        files.remove(stage_path(host))
    return OnNode(node=host.name)


def is_blank(host: Host) -> bool:
    """A cluster of one without VMs and networks, whatever its history."""
    cluster = host.read()
    return list(cluster.nodes) == [host.name] and not cluster.vms and not cluster.networks


def _require_joinable(host: Host) -> None:
    """Raises Refused where a join would end what this node has of its own.

    Rights are among that: whom they held back might do everything by the cluster's document.
    """
    if not is_blank(host):
        raise Refused(f"{host.name} is not blank.", "See: mcv info")
    if whose := host.read().permissions.whose:
        raise Refused(
            f"{host.name} has rights of its own, which would end: {', '.join(whose)}.",
            "First, there: mcv permission revoke; for a superuser: mcv permission remove",
        )


def adopt(host: Host, document: str, operation: str) -> OnNode:
    """Take the first document of the cluster that this node joins.

    Errors: Refused unless this node is blank, the join was begun here, and the document has
    the keys of this node and of the members that were named over ssh.
    """
    new = decode(document)
    stage = staged(host)
    if stage is None or stage.operation != operation:
        if host.read().epoch.id == new.epoch.id:
            return OnNode(node=host.name)
        raise Refused(f"No such join was begun on {host.name}.")
    _require_joinable(host)
    keys = {host.name: host.certificate, **{one.name: one.certificate for one in stage.members}}
    if any(name not in new.nodes or new.nodes[name].certificate != keys[name] for name in keys):
        raise Refused("The document has other members than the join that was begun here.")
    host.consensus.begin(new)
    files.remove(stage_path(host))
    return OnNode(node=host.name)


def blank(host: Host) -> OnNode:
    """Make this node a cluster of one again; its history stays, the secret goes."""
    if len(host.read().nodes) > 1 or host.name not in host.read().nodes:
        host.begin_alone()
    secret.forget(host)
    files.remove(stage_path(host))
    return OnNode(node=host.name)


# Steps of the plan, on the node that carries it out.


def welcome(host: Host, node: str) -> None:
    """Bring a node that was staged its first document."""
    claim = host.read().node(node).claim
    operation = claim.operation if claim else ""
    host.call(node, "member.adopt", document=encode(host.read()), operation=operation)


def dismiss(host: Host, node: str, must: bool = False) -> None:
    """Make a node blank again; harmless where it is: then it does not know this node.

    Raises PeerUnreachable for a silent node if it must be told; else the node is left as it
    is, and what was staged there ends by itself after ten minutes.
    """
    try:
        host.call(node, "member.blank")
    except (NotMember, NotThatNode) as error:
        host.job.progress(f"{node} is blank already: {error.message}")
    except PeerUnreachable as error:
        if must:
            raise
        host.job.progress(f"{node} was not told: {error.message}")


def hand_secret(host: Host, node: str) -> None:
    secret.hand(host, node)
