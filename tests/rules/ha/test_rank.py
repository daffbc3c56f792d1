"""Which node is best for a service, and what the others lack."""

from typing import Any

import pytest

from mcv.document.ha_entries import FailoverDomain, Tie
from mcv.rules.ha.actions import Migrate
from mcv.rules.ha.domains import Candidate, Places, rank
from mcv.rules.ha.snapshot import NodeSeen, ServiceSeen, Snapshot
from mcv.rules.ha.status import NodeStatus
from tests.rules.ha.seen import before, decided, done, node, offline, service, snapshot

NODES = [node("n1"), node("n2"), node("n3"), node("n4")]
LOST = service("a", "n9", runs=(), entry={"domain": "d"})


def ranked(look: Snapshot, seen: ServiceSeen = LOST) -> list[str]:
    return [each.node for each in rank(candidates(look, seen))]


def candidates(look: Snapshot, seen: ServiceSeen) -> list[Candidate]:
    status = before(look)
    return Places(look, status.nodes, status.services).candidates(seen)


def lacks(look: Snapshot, node: str, seen: ServiceSeen = LOST) -> str:
    return next(each.lacks for each in candidates(look, seen) if each.node == node)


def of_domain(domain: FailoverDomain, *services: ServiceSeen, **values: Any) -> Snapshot:
    return snapshot(NODES, list(services), domains={"d": domain}, **values)


def test_the_best_priority_class_comes_first_in_an_ordered_domain() -> None:
    nodes = {"n3": 1, "n2": 2, "n1": 3}

    assert ranked(of_domain(FailoverDomain(nodes=nodes, ordered=True))) == ["n3", "n2", "n1", "n4"]
    assert ranked(of_domain(FailoverDomain(nodes=nodes))) == ["n1", "n2", "n3", "n4"]


def test_a_class_outweighs_ties_and_load() -> None:
    domain = FailoverDomain(nodes={"n2": 1, "n1": 2}, ordered=True)
    look = of_domain(
        domain, service("b", "n2"), service("c", "n2"), ties=(Tie(kind="apart", names=("a", "b")),)
    )

    assert ranked(look)[0] == "n2"


def test_members_come_before_strangers() -> None:
    look = of_domain(FailoverDomain(nodes={"n4": 9}), service("b", "n4"))

    assert ranked(look) == ["n4", "n1", "n2", "n3"]


def test_strangers_are_none_where_the_domain_is_restricted() -> None:
    look = of_domain(FailoverDomain(nodes={"n4": 9}, restricted=True))

    assert ranked(look) == ["n4"]
    assert lacks(look, "n1") == "it is not in the domain d, which is restricted"


def test_ties_come_before_load_and_load_before_the_name() -> None:
    seen = service("a", "n9", runs=())
    others = [service("b", "n1"), service("c", "n2"), service("e", "n3"), service("f", "n3")]

    assert ranked(snapshot(NODES, others), seen) == ["n4", "n1", "n2", "n3"]
    together = (Tie(kind="together", names=("a", "e")),)
    assert ranked(snapshot(NODES, others, ties=together), seen)[0] == "n3"
    apart = (Tie(kind="apart", names=("a", "b", "c")),)
    assert ranked(snapshot(NODES, others, ties=apart), seen) == ["n4", "n3", "n1", "n2"]


def test_what_is_apart_from_a_stopped_one_is_apart_from_nothing() -> None:
    stopped = service("b", "n1", runs=(), entry={"wanted": "stopped"})
    apart = (Tie(kind="apart", names=("a", "b")),)

    assert ranked(snapshot(NODES, [stopped], ties=apart))[0] == "n1"


def test_a_set_is_apart_from_all_that_are_together_with_one_it_is_apart_from() -> None:
    ties = (
        Tie(kind="together", names=("a", "b")),
        Tie(kind="together", names=("c", "d")),
        Tie(kind="apart", names=("b", "c")),
    )
    look = snapshot(
        NODES,
        [service("a", "n1"), service("b", "n1"), service("c", "n1"), service("d", "n1")],
        ties=ties,
    )

    moved = {each.service: each.target for each in done(decided(look), Migrate)}

    assert moved in ({"a": "n2", "b": "n2"}, {"c": "n2", "d": "n2"})


def test_a_set_gathers_where_it_need_not_part_again() -> None:
    ties = (
        Tie(kind="together", names=("a", "b", "c")),
        Tie(kind="together", names=("d", "e")),
        Tie(kind="apart", names=("a", "d")),
    )
    here = {"a": "n1", "b": "n2", "c": "n1", "d": "n1", "e": "n1"}
    look = snapshot(NODES, [service(name, node) for name, node in here.items()], ties=ties)

    moved = {each.service: each.target for each in done(decided(look), Migrate)}

    assert moved == {"a": "n2", "c": "n2"}


def test_a_set_of_a_dead_node_is_kept_together_where_it_goes() -> None:
    lost = [service(name, "n4", runs=()) for name in ("a", "b", "c")]
    look = snapshot(
        [node("n1"), node("n2"), offline("n4")],
        lost,
        ties=(Tie(kind="together", names=("a", "b", "c")),),
    )

    found = [each.takers for each in decided(look).actions if hasattr(each, "takers")]

    assert found == [{"a": "n1", "b": "n1", "c": "n1"}]


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (offline("n1"), "it is offline"),
        (node("n1", draining=True), "it is draining"),
        (node("n1", leaving="failover"), "it is shutting down"),
        (node("n1", told=False), "it does not tell what runs there"),
        (node("n1", memory=1 << 20), "2GiB of memory are needed, 1MiB are free"),
    ],
    ids=["offline", "draining", "shutting down", "silent", "memory"],
)
def test_a_node_that_lacks_something_is_no_candidate(seen: NodeSeen, said: str) -> None:
    big = service("a", "n9", runs=(), memory=2 << 30)
    look = snapshot([seen, node("n2")], [])

    assert ranked(look, big) == ["n2"]
    assert lacks(look, "n1", big) == said


def test_a_suspect_node_is_no_candidate() -> None:
    look = snapshot(NODES)
    nodes = {**before(look).nodes, "n1": NodeStatus(state="suspect")}

    found = Places(look, nodes, {}).candidates(LOST)

    assert found[0].lacks == "it is suspect"


def test_a_node_without_a_replica_or_with_a_stale_one_is_no_candidate() -> None:
    seen = service("a", "n9", runs=(), places={"n1": "its replica is stale since 12:00", "n2": ""})

    assert ranked(snapshot(NODES), seen) == ["n2"]
    assert lacks(snapshot(NODES), "n1", seen) == "its replica is stale since 12:00"
    assert lacks(snapshot(NODES), "n3", seen) == "a has no disk there"


def test_memory_that_was_given_away_in_the_same_round_is_not_given_twice() -> None:
    lost = [service(name, "n4", runs=(), memory=6) for name in ("a", "b", "c")]
    look = snapshot([node("n1", memory=10), node("n2", memory=10), offline("n4")], lost)

    decision = decided(look)

    takers = [each.takers for each in decision.actions if hasattr(each, "takers")]
    assert takers == [{"a": "n1", "b": "n2"}]
    assert decision.status.services["c"].state == "blocked"


def test_memory_of_what_is_about_to_start_counts_as_used() -> None:
    starting = service("b", "n1", runs=(), memory=6)
    look = snapshot([node("n1", memory=10)], [starting])

    assert lacks(look, "n1", service("a", "n9", runs=(), memory=6)) != ""
