"""etcd follows the document: steps of joins and removals, and what a voter does by itself."""

import logging
import time
from collections.abc import Callable

from msgspec import Struct

from mcv.cluster import etcd_members
from mcv.document import etcd_voters
from mcv.document.etcd_voters import Terms, Voter
from mcv.document.model import Cluster, digest
from mcv.document.subject import Subject
from mcv.errors import CallLost, McvError, NotPermitted, PeerUnreachable, refuse_all
from mcv.host import Host, Prepared
from mcv.system.answers import ask_typed, decoded
from mcv.transaction.plan import Item

log = logging.getLogger(__name__)

ASK = 3.0  # s that a voter has to tell whether it follows the document
FOLLOW = 150.0  # s that a voter has to be restarted, and to be in step again
KEPT = 8  # snapshots


class Settled(Struct, frozen=True, kw_only=True):
    """Whether a voter runs by the document with that hash, and whether it has data at all."""

    hash: str
    is_settled: bool
    has_data: bool


class Votes(Struct, frozen=True, kw_only=True):
    """A node that votes in etcd now."""

    node: str


# Steps, on the node that carries the operation out


def keep(host: Host, node: str, operation: str) -> None:
    """Keep a snapshot of what etcd holds, of this operation; the oldest ones are deleted."""
    cluster, directory = host.read(), host.settings.state / "etcd-snapshots"
    if cluster.store is None or list(directory.glob(f"*-{operation}.db")):
        return
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{operation}.db"
    host.etcd.snapshot(host.name, etcd_voters.voters(cluster), path)
    for old in sorted(directory.glob("*.db"))[:-KEPT]:
        old.unlink(missing_ok=True)


def trust(
    host: Host, node: str, leaves: bool = False, certificate: str = "", lenient: bool = False
) -> None:
    """Have every voter trust the certificates of the document, one by one, the leader last.

    Without those of `node` where it leaves, and with another certificate that it is about to
    show: then it is left alone itself. A voter that is offline in the document follows when it
    is back; a silent one does where this is lenient. Raises PeerUnreachable or CallLost else.
    """
    cluster = host.read()
    if cluster.store is None:
        return
    but = {node} if leaves or certificate else set()
    names = set(cluster.store.voters) & set(cluster.online) - but
    _let_a_node_lead(host, cluster)
    leader = host.etcd.leader(etcd_voters.voters(cluster))
    for name in sorted(names, key=lambda each: (each == leader, each)):
        host.job.progress(f"{name}: etcd is restarted where its certificates are others")
        try:
            if name == host.name:
                follow(host, node, name, leaves, certificate)
            else:
                asked = {"leaves": leaves, "certificate": certificate}
                host.call(name, "etcd.follow", node=node, **asked)
        except (PeerUnreachable, CallLost) as error:
            if not lenient:
                raise
            log.info("etcd on %s follows later: %s", name, error)
    _let_a_node_lead(host, cluster)


def _let_a_node_lead(host: Host, cluster: Cluster) -> None:
    """Have no witness lead: it trusts what it was brought last, and may shut a new voter out."""
    if cluster.witness is not None:
        host.etcd.hand_over(etcd_voters.voters(cluster), cluster.witness.name)


def admit(host: Host, node: str) -> None:
    """Add a learner, and have it started there: with its data where it has some of this etcd."""
    cluster = host.read()
    answer = decoded(node, "etcd.settled", host.call(node, "etcd.settled"), Settled)
    is_fresh = host.etcd.add(_others(cluster, node), _voter(cluster, node), answer.has_data)
    if node == host.name:
        begin(host, node, node, is_fresh)
    else:
        host.call(node, "etcd.begin", node=node, is_fresh=is_fresh)


def promote(host: Host, node: str) -> None:
    """Wait until a learner is in step, and let it vote."""
    cluster = host.read()
    host.etcd.promote(_others(cluster, node), _voter(cluster, node))


def expel(host: Host, node: str) -> None:
    """Take a voter, or a learner, out of etcd; harmless where it is out."""
    cluster = host.read()
    host.etcd.remove(_others(cluster, node), _voter(cluster, node))


def step_aside(host: Host, node: str) -> None:
    """Have another voter lead, before this one leaves or is restarted elsewhere."""
    host.etcd.hand_over(etcd_voters.voters(host.read()), node)


def readdress(host: Host, node: str) -> None:
    """Have etcd here run at the address that the document has, with the certificate for it."""
    cluster = host.read()
    if cluster.store is not None and host.name in cluster.store.voters:
        host.etcd.follow(host.name, etcd_voters.terms(cluster))


def _others(cluster: Cluster, node: str) -> list[Voter]:
    return [voter for voter in etcd_voters.voters(cluster) if voter.name != node]


def _voter(cluster: Cluster, name: str) -> Voter:
    node = cluster.node(name)
    return Voter(name, node.ip_address, node.etcd_certificate)


# What a voter is asked by the node that carries the operation out


def follow(host: Host, node: str, sender: str, leaves: bool = False, certificate: str = "") -> None:
    """Trust the certificates of the document, but for a claimed member's: see `trust`.

    Errors: NotPermitted unless the sender has the claim on `node`.
    """
    cluster = _claimed_document(host, node, sender)
    if cluster.store is not None and host.name in cluster.store.voters:
        left = node if leaves else ""
        host.etcd.follow(host.name, etcd_voters.terms(cluster, left, certificate))


def begin(host: Host, node: str, sender: str, is_fresh: bool) -> None:
    """Start etcd here as the learner that the sender has added. Errors as `follow`."""
    cluster = _claimed_document(host, node, sender)
    terms = etcd_voters.terms(cluster)
    voters = {*terms.voters, _voter(cluster, host.name)}
    host.etcd.begin(host.name, terms._replace(voters=tuple(sorted(voters))), is_fresh)


def settled(host: Host) -> Settled:
    """Whether etcd here follows the document that this node has."""
    cluster, hash_ = host.consensus.committed()
    has_data = host.etcd.unit.has_data
    terms = _terms(host, cluster)
    is_settled = terms is None or (has_data and host.etcd.runs_by(host.name, terms))
    return Settled(hash=hash_, is_settled=is_settled, has_data=has_data)


def _claimed_document(host: Host, node: str, sender: str) -> Cluster:
    """The document in which the sender has claimed a member; NotPermitted where there is none."""
    for is_last in (False, True):
        cluster = host.read()
        claim = cluster.claim_of(Subject.node(node))
        if claim is not None and claim.node == sender:
            return cluster
        if not is_last:
            host.consensus.poll()  # a majority has committed the claim: this node may be behind
    raise NotPermitted(f"{sender} has no claim on {node}.")


def _terms(host: Host, cluster: Cluster) -> Terms | None:
    """What this node's voter runs by; None where it is none."""
    if cluster.store is None or host.name not in cluster.store.voters:
        return None
    return etcd_voters.terms(cluster)


# What a node does by itself


def look_after(host: Host) -> None:
    """One round of the loop: this node's etcd becomes what the document says of it.

    While an operation claims a member its plan has the word. A voter without data joins anew.
    One that runs by other certificates, or at another pace, is restarted: after the voters that
    come before it by name, and while the others are a majority.
    """
    cluster = host.read()
    if cluster.store is None or _is_under_way(host) or not host.consensus.in_contact:
        return
    terms = _terms(host, cluster)
    if terms is None:
        _as_client(host, cluster)
    elif not host.etcd.unit.has_data:
        log.warning("the data of this node's etcd are gone: it leaves etcd, and joins it anew")
        _vote(host, "join etcd anew", etcd_members.anew_plan)
    elif not host.etcd.runs_by(host.name, terms) and _is_our_turn(host, cluster):
        _restart(host, terms)


def _restart(host: Host, terms: Terms) -> None:
    if host.etcd.has_spare(host.name, terms.voters) and host.etcd.follow(host.name, terms):
        host.tell("etcd restarted", host.name)


def _as_client(host: Host, cluster: Cluster) -> None:
    """Delete what is left of an etcd here; the first member that does not vote fills a place."""
    if host.etcd.unit.is_there:
        log.info("this node does not vote: its etcd is deleted")
        host.etcd.unit.discard()
    assert cluster.store is not None
    first = min(set(cluster.online) - set(cluster.store.voters))
    if first == host.name and etcd_members.has_place(cluster) and host.etcd.unit.is_installed:
        _vote(host, "vote in etcd", etcd_members.vote_plan)


def _is_under_way(host: Host) -> bool:
    return any(node.claim is not None for each in host.both() for node in each.nodes.values())


def _is_our_turn(host: Host, cluster: Cluster) -> bool:
    """Whether each online voter before this one by name follows this document, or is silent."""
    assert cluster.store is not None
    before = [name for name in cluster.store.voters if name < host.name and name in cluster.online]
    hash_ = digest(cluster)
    answers = ask_typed(host.call, before, "etcd.settled", ASK, Settled)
    return all(
        isinstance(answer, McvError) or (answer.hash == hash_ and answer.is_settled)
        for answer in answers.values()
    )


def _vote(host: Host, title: str, plan: Callable[[Cluster, str, str], list[Item]]) -> None:
    """Carry out a plan by which this node votes. Raises Refused while not all voters answer."""

    def prepare() -> Prepared[Votes]:
        cluster = host.read()
        refuse_all(etcd_members.why_not_voting(host, cluster))
        return Prepared(plan(cluster, host.name, host.job.id), Votes(node=host.name))

    host.operate(Subject.node(host.name), f"{title} on {host.name}", prepare)
    host.tell(title, host.name)
