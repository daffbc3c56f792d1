"""Two nodes without a witness in the document: armed by tested plugs, dead by evidence."""

import pytest
from msgspec.structs import replace

from mcv.document.arms import has_leases, is_pair
from mcv.document.fencing import Plug
from mcv.document.model import Cluster
from mcv.errors import Refused
from tests.documents import after, document


def plugged(*names: str, tested: str = "2026-01-01T00:00:00Z") -> Cluster:
    """A document in which each node hangs on a plug of its own."""
    base = document(*names)
    for node in base.nodes.values():
        plug = Plug(device="pdu", port=node.name, tested=tested)
        base = base.with_node(replace(node, levels=((plug,),)))
    return base


ARMED = after(plugged("n1", "n2"), "ha.arm")


def test_two_nodes_are_armed_by_tested_plugs_and_have_no_leases() -> None:
    assert is_pair(ARMED) and not has_leases(ARMED)
    assert not is_pair(after(ARMED, "ha.disarm"))


def test_a_plug_that_was_never_tested_arms_nothing() -> None:
    with pytest.raises(Refused, match="n1 and n2 has no level of tested plugs"):
        after(plugged("n1", "n2", tested=""), "ha.arm")


@pytest.mark.parametrize("names", [("n1",), ("n1", "n2", "n3")])
def test_one_or_three_are_not_armed_without_etcd(names: tuple[str, ...]) -> None:
    with pytest.raises(Refused, match="Leases lie in etcd"):
        after(plugged(*names), "ha.arm")


def test_two_of_which_one_is_offline_are_not_armed() -> None:
    away = replace(ARMED.node("n2"), status="offline")

    with pytest.raises(Refused, match="n2 is offline"):
        after(after(ARMED, "ha.disarm").with_node(away), "ha.arm")


def test_a_declaration_keeps_its_evidence_until_the_node_is_back() -> None:
    params = {"names": ["n2"], "survivor": "n1", "epoch": "e2"}
    dead = after(ARMED, "node.dead", **params, evidence="off")

    evidence = dead.node("n2").evidence
    assert evidence is not None and (evidence.kind, evidence.by) == ("off", "n1")
    assert dead.node("n2").status == "offline" and dead.epoch.id == "e2"
    # No watchdog is needed where there are no leases.
    back = after(dead, "node.online", name="n2")
    assert back.node("n2").status == "online" and back.node("n2").evidence is None


def test_a_declaration_of_an_earlier_version_has_none() -> None:
    dead = after(ARMED, "node.dead", names=["n2"], survivor="n1", epoch="e2")

    assert dead.node("n2").evidence is None


def test_two_that_are_armed_do_not_move_into_etcd() -> None:
    with pytest.raises(Refused, match="armed without leases"):
        after(ARMED, "store.etcd", id="a", voters=["n1", "n2"], epoch="e2")
