"""A witness is added to an etcd that serves already, or is taken out of one."""

import functools

from msgspec.structs import replace

from mcv.cluster import etcd_follow, etcd_members
from mcv.cluster.store_moved import StoreMoved, preview
from mcv.cluster.witness import known
from mcv.cluster.witness_machine import Newcomer, told_to_end
from mcv.document import etcd_voters
from mcv.document.availability import MOST_VOTERS
from mcv.document.etcd_voters import Terms, Voter
from mcv.document.model import Cluster
from mcv.document.subject import Subject
from mcv.errors import Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.transaction.plan import Item, Step, change, on


def add(host: Host, newcomer: Newcomer, dry_run: bool = False) -> StoreMoved | DryRun:
    """Let a machine vote beside the nodes; it begins as a learner.

    Precondition: every voter answers, and no other operation is under way on a member. Raises
    Refused with every reason, Failed where all was taken back on both sides.
    """

    def prepare() -> Prepared[StoreMoved]:
        host.consensus.require_contact()
        cluster = host.read()
        problems = etcd_members.why_not_joining(host, cluster)
        if not etcd_members.has_place(cluster):
            problems.append(Refused(f"{MOST_VOTERS} vote already, and no more may."))
        refuse_all(problems + newcomer.problems(host))
        terms = etcd_voters.terms(cluster, certificate=newcomer.certificate)
        terms = terms._replace(voters=(*terms.voters, newcomer.voter))
        return Prepared(
            add_plan(newcomer.voter, terms, host.name, host.job.id),
            StoreMoved(store="etcd", voters=sorted(voter.name for voter in terms.voters)),
            preview=functools.partial(preview, newcomer.plan(), []),
            around=newcomer.at_hand(host, terms, "existing"),
        )

    title = f"add the witness {newcomer.name}"
    return host.operate(Subject.node(host.name), title, prepare, dry_run)


def add_plan(new: Voter, terms: Terms, me: str, operation: str) -> list[Item]:
    """Trust it, let it learn, then vote. Over SSH it is begun by this daemon alone."""
    told = {"name": new.name, "address": new.address}
    return [
        Step(on(me, "etcd.keep", node=me, operation=operation)),
        Step(
            on(me, "witness.trust", node=me, certificate=new.certificate),
            undo=on(me, "etcd.trust", node=me, lenient=True),
        ),
        Step(
            on(me, "witness.admit", node=me, **told),
            undo=on(me, "witness.expel", node=me, **told),
        ),
        Step(on(me, "witness.begin", node=me, name=new.name)),
        Step(on(me, "witness.promote", node=me, **told)),
        Step(
            change(
                "witness.set",
                name=new.name,
                ip_address=new.address,
                certificate=new.certificate,
                bundle=etcd_voters.brought(terms.bundle, terms.pace),
            ),
            commits=True,
        ),
    ]


def remove(
    host: Host, password: str | None = None, host_key: str | None = None, dry_run: bool = False
) -> StoreMoved | DryRun:
    """Take the witness out of etcd, which three nodes at least go on with.

    Its etcd is deleted over SSH; where the machine is not reached it keeps it, which is said.
    Raises Refused, with every reason.
    """
    known(host.read())
    with told_to_end(host, password, host_key) as leaving:
        assert leaving is not None

        def prepare() -> Prepared[StoreMoved]:
            host.consensus.require_contact()
            cluster = host.read()
            refuse_all(_why_not_remove(host, cluster))
            voters = [each.name for each in etcd_voters.voters(cluster)]
            return Prepared(
                remove_plan(host.name, leaving.name, host.job.id),
                StoreMoved(store="etcd", voters=[name for name in voters if name != leaving.name]),
                preview=functools.partial(preview, [], leaving.plan()),
            )

        title = f"take the witness {leaving.name} out"
        moved = host.operate(Subject.node(host.name), title, prepare, dry_run)
        return moved if isinstance(moved, DryRun) else replace(moved, left=leaving.end(host))


def remove_plan(me: str, name: str, operation: str) -> list[Item]:
    """End its vote, then trust it no more."""
    return [
        Step(on(me, "etcd.keep", node=me, operation=operation)),
        Step(on(me, "witness.leave", node=me, name=name), commits=True),
        Step(change("witness.remove")),
        Step(on(me, "etcd.trust", node=me)),
    ]


def _why_not_remove(host: Host, cluster: Cluster) -> list[Refused]:
    witness = known(cluster)
    if cluster.store is None:
        return [Refused("The document does not lie in etcd.", "See: mcv cluster store")]
    problems = etcd_members.why_not_joining(host, cluster, but={witness.name})
    if len(cluster.store.voters) < 3:
        problems.append(
            Refused(
                f"Without {witness.name} {' and '.join(cluster.store.voters)} would both be "
                "needed for each change.",
                "Add a node first; or have the members agree unanimously: mcv cluster store "
                "unanimous",
            )
        )
    return problems


# Steps, on the node that carries the operation out


def trust(host: Host, node: str, certificate: str) -> None:
    """Have every voter trust one more certificate, one by one, the leader last."""
    cluster = host.read()
    assert cluster.store is not None
    leader = host.etcd.leader(etcd_voters.voters(cluster))
    names = set(cluster.store.voters) & set(cluster.online)
    for name in sorted(names, key=lambda each: (each == leader, each)):
        host.job.progress(f"{name}: etcd is restarted where its certificates are others")
        if name == host.name:
            etcd_follow.follow(host, node, name, certificate=certificate)
        else:
            host.call(name, "etcd.follow", node=node, certificate=certificate)


def admit(host: Host, node: str, name: str, address: str) -> None:
    """Add it as a learner, which has not started."""
    host.etcd.add(_others(host, name), Voter(name, address, ""), False)


def expel(host: Host, node: str, name: str, address: str) -> None:
    """Take it out again; harmless where it is out."""
    host.etcd.remove(_others(host, name), Voter(name, address, ""))


def begin(host: Host, node: str, name: str) -> None:
    """Start etcd on its machine. Raises Refused where the SSH session is over."""
    start = host.begin_there.get(name)
    if start is None:
        raise Refused(f"{name} is not reached over SSH any more.", "Begin again.")
    start()


def promote(host: Host, node: str, name: str, address: str) -> None:
    """Wait until it is in step, and let it vote."""
    host.etcd.promote(_others(host, name), Voter(name, address, ""))


def leave(host: Host, node: str, name: str) -> None:
    """Have another voter lead, and end its vote; harmless where it is none."""
    cluster = host.read()
    if cluster.witness is None:
        return
    host.etcd.hand_over(etcd_voters.voters(cluster), name)
    expel(host, node, name, cluster.witness.ip_address)


def _others(host: Host, name: str) -> list[Voter]:
    return [voter for voter in etcd_voters.voters(host.read()) if voter.name != name]
