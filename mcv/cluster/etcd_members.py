"""What a cluster whose document lies in etcd adds to a join, a removal and another address.

Who votes follows the document. A new node's certificates are trusted before it speaks, a removed
one's are trusted no more before its removal is told as done; each time the voters are restarted
one by one, the leader last, since etcd reads its certificates at its start alone.
"""

import time
from collections.abc import Collection, Sequence
from typing import NamedTuple

from mcv.cluster.addresses_judge import why_members_claimed
from mcv.document import etcd_voters
from mcv.document.arms import is_pair
from mcv.document.availability import MOST_VOTERS
from mcv.document.etcd_voters import Voter
from mcv.document.model import Cluster, Node
from mcv.errors import Refused
from mcv.host import Host
from mcv.printable import names
from mcv.transaction.plan import Item, Step, change, on

LOOKS, PAUSE = 3, 0.5  # a busy voter is asked again, after so many s, before it counts as silent


class Added(NamedTuple):
    """The steps of etcd in a plan: made at its begin, in its middle, at its end."""

    first: list[Item]
    then: list[Item]
    last: list[Item]


NOTHING = Added([], [], [])


def joining(cluster: Cluster, new: str, me: str, operation: str) -> Added:
    """Trust the new node before it has the document; then let it vote, where there is place."""
    store = cluster.store
    if store is None:
        return NOTHING
    trust = on(me, "etcd.trust", node=new)
    distrust = on(me, "etcd.trust", node=new, leaves=True, lenient=True)
    first: list[Item] = [_snapshot(me, new, operation), Step(trust, undo=distrust)]
    return Added(first, [], voting(cluster, new, me) if has_place(cluster) else [])


def voting(cluster: Cluster, node: str, me: str) -> list[Item]:
    """Have a member learn, then vote."""
    assert cluster.store is not None
    before = sorted(cluster.store.voters)
    return [
        Step(on(me, "etcd.admit", node=node), undo=on(me, "etcd.expel", node=node)),
        Step(on(me, "etcd.promote", node=node)),
        Step(
            change("store.voters", voters=sorted({*before, node}), before=before),
            undo=change("store.voters", voters=before),
        ),
    ]


def leaving(cluster: Cluster, node: str, me: str, operation: str) -> Added:
    """End a member's vote, then trust it no more. Only the first steps are taken back.

    A voter leaves etcd before its own etcd ends: dead, it would count as one that fails.
    """
    store = cluster.store
    if store is None:
        return NOTHING
    first: list[Item] = [_snapshot(me, node, operation)]
    distrust = Step(on(me, "etcd.trust", node=node, leaves=True))
    if node not in store.voters:
        return Added(first, [], [distrust])
    first.append(Step(on(me, "etcd.step_aside", node=node)))
    rest = sorted(set(store.voters) - {node})
    then: list[Item] = [
        Step(change("barrier"), commits=True),
        Step(on(me, "etcd.expel", node=node)),
        Step(change("store.voters", voters=rest, before=sorted(store.voters))),
    ]
    return Added(first, then, [distrust])


def readdressing(cluster: Cluster, new: Node, certificate: str, operation: str) -> Added:
    """Trust the certificate for the new address before it is shown, the former one no more after.

    The node carries it out itself. It is restarted between the two.
    """
    name, store = new.name, cluster.store
    if store is None or new.ip_address == cluster.node(name).ip_address:
        return NOTHING
    again = Step(on(name, "etcd.trust", node=name))
    if name not in store.voters:
        return Added([_snapshot(name, name, operation)], [], [again])
    first: list[Item] = [
        _snapshot(name, name, operation),
        Step(
            on(name, "etcd.trust", node=name, certificate=certificate),
            undo=on(name, "etcd.trust", node=name, lenient=True),
        ),
        Step(on(name, "etcd.step_aside", node=name)),
    ]
    return Added(first, [], [Step(on(name, "etcd.readdress", node=name)), again])


def vote_plan(cluster: Cluster, me: str, operation: str) -> list[Item]:
    """Let this node vote: there is place for it since another one has left."""
    *steps, last = voting(cluster, me, me)
    assert isinstance(last, Step)
    return [_snapshot(me, me, operation), *steps, Step(last.do, commits=True)]


def anew_plan(cluster: Cluster, me: str, operation: str) -> list[Item]:
    """Leave etcd as the voter whose data are gone, and join it as another one."""
    return [
        _snapshot(me, me, operation),
        Step(change("barrier"), commits=True),
        Step(on(me, "etcd.expel", node=me)),
        Step(on(me, "etcd.admit", node=me)),
        Step(on(me, "etcd.promote", node=me)),
    ]


def has_place(cluster: Cluster) -> bool:
    """Whether one more may vote."""
    return len(etcd_voters.voters(cluster)) < MOST_VOTERS


# Why not


def why_not_joining(host: Host, cluster: Cluster, but: Collection[str] = ()) -> list[Refused]:
    """Why no member can be added now; nothing where the members agree unanimously.

    Whether the voters `but` answer does not matter.
    """
    if cluster.store is None:
        return []
    return [*why_members_claimed(cluster, host.job.id), *_silent(host, cluster, but)]


def why_not_leaving(host: Host, cluster: Cluster, node: str) -> list[Refused]:
    """The same of removing one: enough have to be left that one more may fail."""
    if is_pair(cluster):
        return [Refused("One node alone is not armed, and two are.", "First: mcv ha disarm")]
    if cluster.store is None:
        return []
    problems = [*why_members_claimed(cluster, host.job.id), *_silent(host, cluster, {node})]
    if why := etcd_voters.refusal_of_fewer(cluster, node):
        problems.append(
            Refused(
                why,
                "Add a node or a witness first; or have the members agree unanimously: "
                "mcv cluster store unanimous",
            )
        )
    return problems


def why_not_voting(host: Host, cluster: Cluster) -> list[Refused]:
    """The same of this node, which does not vote yet, or whose data are gone."""
    problems = [*why_members_claimed(cluster, host.job.id), *_silent(host, cluster, {host.name})]
    if not host.etcd.unit.is_installed:
        problems.append(Refused(f"{host.name} has no etcd.", "apt install etcd-server"))
    return problems


def why_not_readdressing(host: Host, cluster: Cluster) -> list[Refused]:
    """The same of another address of this node."""
    return _silent(host, cluster, {host.name}) if cluster.store is not None else []


def why_not_off(host: Host, cluster: Cluster, node: str) -> list[Refused]:
    """Why a voter may not be switched off: no majority of etcd would be left.

    Nothing where there is none now: it cannot be lost.
    """
    voters = etcd_voters.voters(cluster)
    if node not in {voter.name for voter in voters}:
        return []
    silent = _not_answering(host, [voter for voter in voters if voter.name != node])
    left = [voter.name for voter in voters if voter.name not in (node, *silent)]
    all_ = len(voters)
    if etcd_voters.has_quorum(len(left), all_) or not etcd_voters.has_quorum(len(left) + 1, all_):
        return []
    alone = f"{names(left)} would be left" if left else "none would be left"
    hint = f"First have {names(silent)} back" if silent else "Add a node or a witness first"
    return [
        Refused(
            f"Without {node} etcd has no majority: {etcd_voters.needed_of(all_)}, {alone}.",
            f"{hint}. See: mcv cluster store",
        )
    ]


def _not_answering(host: Host, voters: Sequence[Voter]) -> list[str]:
    """The voters that do not answer; a busy one is asked again."""
    silent: list[str] = []
    for _ in range(LOOKS):
        silent = [each.name for each in host.etcd.shown(voters) if each.state == "unreachable"]
        voters = [voter for voter in voters if voter.name in silent]
        if not voters:
            break
        time.sleep(PAUSE)
    return silent


def _silent(host: Host, cluster: Cluster, but: Collection[str] = ()) -> list[Refused]:
    voters = [voter for voter in etcd_voters.voters(cluster) if voter.name not in but]
    silent = _not_answering(host, voters)
    if not silent:
        return []
    missing = names(silent)
    return [
        Refused(
            f"etcd on {missing} does not answer, and who votes changes only while all voters do.",
            f"Look on {missing}: systemctl status mcv-etcd. For good without: "
            "mcv cluster store unanimous",
        )
    ]


def _snapshot(me: str, node: str, operation: str) -> Step:
    return Step(on(me, "etcd.keep", node=node, operation=operation))
