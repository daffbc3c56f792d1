"""Where the document lies: shown, moved to etcd, moved back; each move is a plan."""

import functools
import secrets

from msgspec import Struct
from msgspec.structs import replace

from mcv.cluster import witness as witnesses
from mcv.cluster import witness_machine, witness_voting
from mcv.cluster.addresses_judge import why_members_claimed
from mcv.cluster.store_moved import Kind, StoreMoved, preview
from mcv.document import etcd_voters
from mcv.document.availability import MOST_VOTERS
from mcv.document.etcd_voters import Terms, Voter
from mcv.document.model import Cluster
from mcv.document.names import NO_NODE
from mcv.document.subject import Subject
from mcv.drivers.etcd_local import VoterShown
from mcv.errors import McvError, Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.system.addresses import canonical
from mcv.system.answers import ask_typed
from mcv.transaction.plan import Item, Step, change, on, together

ASK = 10.0  # s that a member has to tell what it lacks


class StoreShown(Struct, frozen=True, kw_only=True):
    """Where the document lies, whether changes can be made, and who votes."""

    store: Kind
    quorum: bool
    voters: list[VoterShown]


def show(host: Host) -> StoreShown:
    """Where the document lies; of each voter its state and how fast its disk is."""
    cluster = host.read()
    if cluster.store is None:
        return StoreShown(store="unanimous", quorum=host.consensus.in_contact, voters=[])
    voters = host.etcd.shown(etcd_voters.voters(cluster))
    answering = [voter for voter in voters if voter.state in ("leader", "voter")]
    quorum = etcd_voters.has_quorum(len(answering), len(voters))
    return StoreShown(store="etcd", quorum=quorum, voters=voters)


def to_etcd(
    host: Host,
    witness: str = "",
    ip_address: str = "",
    password: str | None = None,
    host_key: str | None = None,
    dry_run: bool = False,
) -> StoreMoved | DryRun:
    """Move the document to etcd, which is started on every member, at most seven.

    With a witness etcd is set up on that machine too, over SSH; it is a voter like a member.
    Precondition: every member is online and has etcd, three voters at least, and no other
    operation is under way on one. Until the document says so etcd holds nothing; a failure before
    takes etcd away again. Where the document lies there, the witness is added.
    Raises Refused with every reason at once.
    """
    host.consensus.require_contact()
    if not witness:
        return _moved_to_etcd(host, None, dry_run)
    cluster = host.read()
    is_there = cluster.store is not None
    early = [] if is_there else _why_not_to_etcd(host, cluster, True)
    refuse_all(early + witnesses.why_not_it(cluster, witness, ip_address))
    ip_address = canonical(ip_address)
    host.job.progress(f"looking at {witness} over SSH")
    with witnesses.machine_at(ip_address, password, host_key) as machine:
        newcomer = witness_machine.newcomer(witness, ip_address, machine)
        if is_there:
            return witness_voting.add(host, newcomer, dry_run)
        return _moved_to_etcd(host, newcomer, dry_run)


def _moved_to_etcd(
    host: Host, newcomer: witness_machine.Newcomer | None, dry_run: bool
) -> StoreMoved | DryRun:
    def prepare() -> Prepared[StoreMoved]:
        host.consensus.require_contact()
        cluster = host.read()
        problems = _why_not_to_etcd(host, cluster, newcomer is not None)
        refuse_all(problems + (newcomer.problems(host) if newcomer else []))
        certificates = _certificates(host, cluster)
        voters = sorted(cluster.nodes)[: MOST_VOTERS - (newcomer is not None)]
        id = secrets.token_hex(8)
        plan = etcd_plan(cluster, voters, certificates, id, newcomer.voter if newcomer else None)
        moved = StoreMoved(store="etcd", voters=voters)
        if newcomer is None:
            return Prepared(plan, moved)
        bundle = _bundle(cluster, [*certificates.values(), newcomer.certificate])
        members = _addresses(cluster, voters, newcomer.voter)
        addresses = tuple(Voter(name, at, "") for name, at in members.items())
        return Prepared(
            plan,
            replace(moved, voters=sorted([*voters, newcomer.name])),
            preview=functools.partial(preview, newcomer.plan(), []),
            around=newcomer.set_up_there(host, Terms(id, addresses, bundle, cluster.ha.pace)),
        )

    return host.operate(_members(host), "move the document to etcd", prepare, dry_run)


def to_unanimous(
    host: Host, password: str | None = None, host_key: str | None = None, dry_run: bool = False
) -> StoreMoved | DryRun:
    """Let the members agree unanimously again; etcd is stopped when all hold the document.

    Precondition: every online member answers, and the cluster is unarmed. Raises Refused with
    every reason at once. A member that is offline takes the document when it comes back, and
    deletes its own etcd then. A witness that is not reached over SSH keeps its etcd, which is
    said.
    """
    with witness_machine.told_to_end(host, password, host_key) as leaving:

        def prepare() -> Prepared[StoreMoved]:
            host.consensus.require_contact()
            cluster = host.read()
            refuse_all(_why_not_to_unanimous(host, cluster))
            return Prepared(
                unanimous_plan(cluster, host.name, host.job.id),
                StoreMoved(store="unanimous", voters=[]),
                preview=functools.partial(preview, [], leaving.plan() if leaving else []),
            )

        moved = host.operate(_members(host), "move the document out of etcd", prepare, dry_run)
        if isinstance(moved, DryRun) or leaving is None:
            return moved
        return replace(moved, left=leaving.end(host))


def etcd_plan(
    cluster: Cluster,
    voters: list[str],
    certificates: dict[str, str],
    id: str,
    witness: Voter | None = None,
) -> list[Item]:
    """Make the certificates known, start etcd everywhere, then move the document: all or none.

    The witness's etcd runs by then: it is no step, since no other node could reach it over SSH.
    """
    known: list[Item] = [
        Step(change("node.etcd", name=name, certificate=certificates[name]))
        for name in sorted(cluster.nodes)
        if cluster.nodes[name].etcd_certificate != certificates[name]
    ]
    beside = {witness.name: witness.certificate} if witness else {}
    bundle = _bundle(cluster, [*certificates.values(), *beside.values()])
    members = _addresses(cluster, voters, witness)
    asked = [[name, members[name], {**certificates, **beside}[name]] for name in sorted(members)]
    pace = {"pace": cluster.ha.pace}
    return [
        *known,
        *_witness_known(witness, etcd_voters.brought(bundle, cluster.ha.pace)),
        together(
            Step(
                on(name, "etcd.set_up", node=name, id=id, members=members, bundle=bundle, **pace),
                undo=on(name, "etcd.discard", node=name),
            )
            for name in voters
        ),
        together(Step(on(name, "etcd.start", node=name)) for name in voters),
        together(Step(on(name, "etcd.await", node=name, voters=asked)) for name in voters),
        Step(change("store.etcd", id=id, voters=voters, epoch=secrets.token_hex(8)), commits=True),
    ]


def _witness_known(witness: Voter | None, brought: str) -> list[Item]:
    """Say in the document who the witness is; what an earlier attempt said is replaced."""
    if witness is None:
        return []
    said = change(
        "witness.set",
        name=witness.name,
        ip_address=witness.address,
        certificate=witness.certificate,
        bundle=brought,
    )
    return [Step(said, undo=change("witness.remove"))]


def _bundle(cluster: Cluster, certificates: list[str]) -> str:
    """What every voter trusts; the document will have these certificates for etcd."""
    own = [node.certificate for node in cluster.nodes.values()]
    return etcd_voters.joined([*own, *certificates])


def _addresses(cluster: Cluster, voters: list[str], witness: Voter | None) -> dict[str, str]:
    members = {name: cluster.nodes[name].ip_address for name in voters}
    return {**members, witness.name: witness.address} if witness else members


def unanimous_plan(cluster: Cluster, me: str, operation: str) -> list[Item]:
    """Keep what etcd holds, move the document, wait until all have it, then take etcd away."""
    voters = sorted(set(cluster.store.voters if cluster.store else ()) & set(cluster.online))
    return [
        Step(on(me, "etcd.keep", node=me, operation=operation)),
        Step(change("store.unanimous", epoch=secrets.token_hex(8)), commits=True),
        Step(on(me, "etcd.all_hold", node=me)),
        together(Step(on(name, "etcd.discard", node=name), may_fail=True) for name in voters),
    ]


def _members(host: Host) -> list[Subject]:
    return [Subject.node(name) for name in sorted(host.read().nodes)]


def _why_not_to_etcd(host: Host, cluster: Cluster, with_witness: bool) -> list[Refused]:
    if cluster.store is not None:
        return [Refused("The document lies in etcd already.", "See: mcv cluster store")]
    problems = _offline(cluster) + _why_not_now(host, cluster) + _misnamed(cluster)
    if cluster.ha.armed:
        problems.append(Refused("The cluster is armed without leases.", "First: mcv ha disarm"))
    if (few := len(cluster.nodes)) + with_witness < 3:
        problems.append(
            Refused(
                "One node needs no etcd."
                if few == 1
                else f"{few} nodes are too few: a majority of two is both.",
                "etcd is for three nodes and more, or for two with a third machine: --witness NAME "
                "--ip-address IP",
            )
        )
    answers = ask_typed(host.call, cluster.online, "etcd.lacks", ASK, list[str])
    for name, answer in answers.items():
        if isinstance(answer, McvError):
            problems.append(Refused(f"{name} is needed: {answer.message}", answer.hint))
        else:
            problems += [Refused(f"{name} cannot run etcd yet.", why) for why in answer]
    return problems


def _misnamed(cluster: Cluster) -> list[Refused]:
    """Members of before such names were refused: their lease's key would be another thing's."""
    return [
        Refused(
            f"A node that is called {name} cannot have its lease in etcd, which keeps something "
            "else under that name.",
            "Take it out, and join it under another name: mcv cluster remove-node --node "
            f"{name}; mcv cluster add-node",
        )
        for name in sorted(set(cluster.nodes).intersection(NO_NODE))
    ]


def _why_not_to_unanimous(host: Host, cluster: Cluster) -> list[Refused]:
    if cluster.store is None:
        return [Refused("The members agree unanimously already.", "See: mcv cluster store")]
    problems = _why_not_now(host, cluster)
    if cluster.ha.armed:
        problems.append(
            Refused("The cluster is armed, and leases lie in etcd.", "First: mcv ha disarm")
        )
    for name, answer in host.consensus.documents(cluster.online).items():
        if isinstance(answer, McvError):
            problems.append(Refused(f"{name} is needed: {answer.message}", answer.hint))
    return problems


def _offline(cluster: Cluster) -> list[Refused]:
    return [
        Refused(
            f"{name} is offline, and a move needs every member.",
            f"Bring it back with: mcv node online {name}; or take it out: mcv cluster "
            f"remove-node --node {name}",
        )
        for name in sorted(set(cluster.nodes) - set(cluster.online))
    ]


def _why_not_now(host: Host, cluster: Cluster) -> list[Refused]:
    problems: list[Refused] = []
    if cluster.schema < 5:
        problems.append(
            Refused(
                "The document cannot hold this yet: a member has an older mcv.",
                "Install this mcv on every node; the others tell which: mcv info",
            )
        )
    return problems + why_members_claimed(cluster, host.job.id)


def _certificates(host: Host, cluster: Cluster) -> dict[str, str]:
    """What each member says that its certificate for etcd is."""
    found = {}
    for name in sorted(cluster.nodes):
        (answer,) = ask_typed(host.call, [name], "etcd.certificate", ASK, str, node=name).values()
        if isinstance(answer, McvError):
            raise Refused(f"{name} is needed: {answer.message}", answer.hint)
        found[name] = answer
    return found
