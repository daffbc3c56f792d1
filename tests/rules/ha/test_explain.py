"""Why a service is where it is, what each node lacks, and what would be if nodes died."""

from mcv.document.ha_entries import FailoverDomain
from mcv.rules.ha.explain import CandidateSeen, WouldMove, explain, what_if, without_a_place
from tests.rules.ha.seen import before, node, offline, service, silent, snapshot


def test_each_node_is_told_with_what_it_lacks_the_best_first() -> None:
    look = snapshot(
        [node("n1"), node("n2", draining=True), node("n3")],
        [service("a", "n1", entry={"domain": "d"})],
        domains={"d": FailoverDomain(nodes={"n3": 1, "n1": 2}, ordered=True, failback=False)},
    )

    told = explain(look, before(look), "a")

    assert (told.name, told.node, told.reason) == ("a", "n1", "it runs on n1")
    assert told.candidates == (
        CandidateSeen(node="n3", ok=True, lacks=""),
        CandidateSeen(node="n1", ok=True, lacks=""),
        CandidateSeen(node="n2", ok=False, lacks="it is draining"),
    )


def test_what_would_be_if_nodes_died_is_told_for_everything_there() -> None:
    look = snapshot(
        [node("n1"), node("n2"), node("n3", memory=5)],
        [
            service("a", "n1", memory=4),
            service("b", "n1", memory=4, places={"n1": ""}),
            service("c", "n2"),
            service("d", "n1", runs=(), entry={"wanted": "stopped"}),
        ],
    )

    told = what_if(look, before(look), frozenset({"n1", "n2"}))

    assert [(each.name, each.from_node, each.to) for each in told] == [
        ("a", "n1", "n3"),
        ("b", "n1", ""),
        ("c", "n2", "n3"),
    ]
    assert "n3: b has no disk there" in told[1].why


def test_what_would_be_is_asked_of_a_cluster_as_it_is() -> None:
    """A node that is dead already takes nothing; one that is not armed is asked all the same."""
    look = snapshot(
        [node("n1"), node("n2"), offline("n3")],
        [service("a", "n1"), service("b", "n3", runs=())],
        ha={"armed": False},
    )

    told = what_if(look, before(look), frozenset({"n1"}))

    assert told == [
        WouldMove(name="a", from_node="n1", to="n2", why="n1 is offline: n2 takes it over")
    ]


def test_a_node_that_is_suspect_takes_nothing() -> None:
    look = snapshot([node("n1"), silent("n2"), node("n3")], [service("a", "n1")], manager="n3")

    told = what_if(look, before(look), frozenset({"n1"}))

    assert [(each.name, each.to) for each in told] == [("a", "n3")]


def test_whatever_would_run_nowhere_without_its_node_is_told_one_death_at_a_time() -> None:
    look = snapshot(
        [node("n1"), node("n2", memory=4), node("n3", memory=4), offline("n4")],
        [
            service("a", "n1", memory=4),
            service("b", "n2", memory=5, places={"n2": "", "n3": ""}),
            service("c", "n3", runs=(), entry={"wanted": "stopped"}, places={"n3": ""}),
            service("d", "n4", runs=(), places={"n4": ""}),
        ],
    )

    told = without_a_place(look, before(look))

    assert [(each.name, each.from_node, each.to) for each in told] == [("b", "n2", "")]
    assert "n3: 5B of memory are needed, 4B are free" in told[0].why


def test_a_sleeptime_is_no_reason_to_run_nowhere() -> None:
    look = snapshot([node("n1"), node("n2")], [service("a", "n1", sleeptime=60.0)])

    assert [each.to for each in what_if(look, before(look), frozenset({"n1"}))] == ["n2"]
