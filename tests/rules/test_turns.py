"""Who of two shoots first, by what each owns; and that the other waits for long enough."""

import pytest
from msgspec.structs import replace

from mcv.document.fencing import Plug
from mcv.document.ha_entries import HaEntry, Service, Wanted
from mcv.document.model import Cluster
from mcv.rules import turns
from tests.documents import document


def two_with_services(
    owned: dict[str, tuple[str, int]], *, wanted: Wanted = "started", seconds: int = 1
) -> Cluster:
    """n1 and n2, each on a plug, with these services by owner and priority."""
    cluster = document("n1", "n2")
    for node in cluster.nodes.values():
        plug = Plug(device="pdu", port=node.name, tested="2026-01-01T00:00:00Z", seconds=seconds)
        cluster = cluster.with_node(replace(node, levels=((plug,),)))
    services = {
        name: Service(
            name=name,
            address="10.0.0.9/24",
            bridge="br0",
            node=node,
            entry=HaEntry(wanted=wanted, priority=priority),
        )
        for name, (node, priority) in owned.items()
    }
    return replace(cluster, services=services)


def test_who_owns_the_higher_sum_of_priorities_shoots_at_once() -> None:
    document = two_with_services({"a": ("n2", 5), "b": ("n1", 2), "c": ("n1", 2)})

    assert turns.turn("n2", "n1", [document]) == 0.0
    assert turns.turn("n1", "n2", [document]) == turns.delay(document)


def test_of_equal_sums_the_first_by_name_does() -> None:
    document = two_with_services({"a": ("n2", 0)})

    assert turns.turn("n1", "n2", [document]) == 0.0
    assert turns.turn("n2", "n1", [document]) == turns.delay(document)


def test_what_is_wanted_stopped_counts_for_nothing() -> None:
    document = two_with_services({"a": ("n2", 9)}, wanted="stopped")

    assert turns.turn("n2", "n1", [document]) > 0.0


def test_the_other_waits_for_twice_the_longest_test_and_more() -> None:
    document = two_with_services({}, seconds=20)

    assert turns.delay(document) >= 2 * 20 + turns.SKEW


PAIRS = [(one, two) for one in range(3) for two in range(3) if {one, two} != {0, 2}]


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_two_that_hold_different_documents_never_have_the_same_turn(one: int, two: int) -> None:
    """Each holds the document before a change, that and the proposal, or the one after it.

    Nobody commits what the other has not accepted.
    """
    before = two_with_services({"a": ("n1", 5)})
    after = two_with_services({"a": ("n2", 5)})
    held: list[list[Cluster]] = [[before], [before, after], [after]]

    n1, n2 = turns.turn("n1", "n2", held[one]), turns.turn("n2", "n1", held[two])

    assert abs(n1 - n2) >= turns.delay(before)
