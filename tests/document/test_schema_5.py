"""Schema 5: where the document lies, etcd's voters, and what arms a cluster."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from mcv.document.availability import EtcdStore, Evidence, Ha, Witness
from mcv.document.model import Cluster, decode, encode
from mcv.document.schema_4 import words_of_node
from mcv.errors import McvError, NotFound, Refused
from tests.documents import after, document, of_schema

ID = "0123456789abcdef"


def with_certificates(base: Cluster) -> Cluster:
    for name in base.nodes:
        base = after(base, "node.etcd", name=name, certificate=f"certificate of {name}")
    return base


THREE = with_certificates(document("n1", "n2", "n3"))
TWO = with_certificates(document("n1", "n2"))
WITNESS = {"name": "w1", "ip_address": "192.0.2.9", "certificate": "of w1"}
IN_ETCD = after(THREE, "store.etcd", id=ID, voters=["n3", "n1", "n2"], epoch="e2")
TWO_IN_ETCD = after(
    after(TWO, "witness.set", **WITNESS), "store.etcd", id=ID, voters=["n1", "n2"], epoch="e"
)
ARMED = replace(IN_ETCD, ha=Ha(armed=True))


def test_a_document_of_schema_4_has_no_word_of_schema_5_and_reads_as_unanimous() -> None:
    raw = msgspec.json.decode(encode(replace(document("n1"), schema=4)))

    assert list(raw)[-1] == "cpu_baseline"
    assert list(raw["nodes"]["n1"])[-1] == "draining"
    read = decode(encode(of_schema(4, document("n1"))))
    assert (read.store, read.witness, read.ha) == (None, None, Ha())


@pytest.mark.parametrize("schema", [1, 2, 3, 4])
def test_a_document_of_before_is_raised_without_arming_anything(schema: int) -> None:
    new = after(of_schema(schema, document()), "document.schema", schema=5)

    assert (new.schema, new.store, new.ha.armed) == (5, None, False)
    assert decode(encode(new)) == new


OF_SCHEMA_5: list[tuple[str, dict[str, Any]]] = [
    ("node.etcd", {"name": "n1", "certificate": "x"}),
    ("store.etcd", {"id": ID, "voters": ["n1", "n2", "n3"], "epoch": "e"}),
    ("store.survivors", {"names": ["n2", "n3"], "survivor": "n1", "epoch": "e"}),
    ("store.unanimous", {"epoch": "e"}),
    ("store.voters", {"voters": ["n1"]}),
    ("witness.remove", {}),
    ("witness.set", WITNESS),
]


@pytest.mark.parametrize(("change", "params"), OF_SCHEMA_5)
def test_no_change_of_schema_5_is_made_before_all_members_read_it(
    change: str, params: dict[str, Any]
) -> None:
    with pytest.raises(Refused, match="cannot hold this yet"):
        after(of_schema(4, document("n1", "n2", "n3")), change, **params)


def test_moving_to_etcd_and_back_begins_an_epoch_each() -> None:
    back = after(IN_ETCD, "store.unanimous", epoch="e3")

    assert IN_ETCD.store == EtcdStore(id=ID, voters=("n1", "n2", "n3"))
    assert [epoch.id for epoch in back.epochs][-2:] == ["e2", "e3"]
    assert back.epochs[-1].generation == IN_ETCD.generation
    assert (back.epoch.number, back.store) == (THREE.epoch.number + 2, None)
    assert back.nodes == THREE.nodes


def test_two_nodes_and_a_witness_are_three_voters() -> None:
    base = after(TWO, "witness.set", **WITNESS)

    moved = after(base, "store.etcd", id=ID, voters=["n1", "n2"], epoch="e2")
    brought = after(moved, "witness.set", **WITNESS, bundle="abc")

    assert moved.witness == Witness(**WITNESS)
    assert brought.witness == Witness(**WITNESS, bundle="abc")
    assert after(moved, "store.unanimous", epoch="e3").witness is None


REFUSALS: list[tuple[str, Cluster, dict[str, Any], type[Exception], str]] = [
    ("store.etcd", TWO, {"id": ID, "voters": ["n1", "n2"], "epoch": "e"}, Refused, "too few"),
    ("store.etcd", IN_ETCD, {"id": ID, "voters": [], "epoch": "e"}, Refused, "in etcd already"),
    (
        "store.etcd",
        document("n1", "n2", "n3"),
        {"id": ID, "voters": ["n1", "n2", "n3"], "epoch": "e"},
        Refused,
        "n1 has no certificate",
    ),
    ("store.etcd", THREE, {"id": ID, "voters": ["n9"], "epoch": "e"}, NotFound, "no node n9"),
    ("store.unanimous", THREE, {"epoch": "e"}, Refused, "does not lie in etcd"),
    ("store.unanimous", ARMED, {"epoch": "e"}, Refused, "armed"),
    (
        "store.survivors",
        THREE,
        {"names": ["n2"], "survivor": "n1", "epoch": "e"},
        Refused,
        "does not lie in etcd",
    ),
    ("store.voters", IN_ETCD, {"voters": ["n1", "n2"]}, Refused, "2 voters are too few"),
    ("store.voters", THREE, {"voters": ["n1"]}, Refused, "does not lie in etcd"),
    ("witness.set", TWO, {**WITNESS, "name": "n1"}, Refused, "n1 is a node"),
    (
        "witness.set",
        after(TWO, "witness.set", **WITNESS),
        {**WITNESS, "name": "w2"},
        Refused,
        "w1 is the witness",
    ),
    ("witness.remove", TWO, {}, NotFound, "no witness"),
    (
        "witness.remove",
        TWO_IN_ETCD,
        {},
        Refused,
        "both be needed",
    ),
]


@pytest.mark.parametrize(("change", "base", "params", "error", "said"), REFUSALS)
def test_what_would_make_no_sense_is_refused(
    change: str, base: Cluster, params: dict[str, Any], error: type[McvError], said: str
) -> None:
    with pytest.raises(error, match=said):
        after(base, change, **params)


def test_leaving_etcd_at_an_operator_s_word_disarms() -> None:
    assert not after(ARMED, "store.unanimous", epoch="e", disarm=True).ha.armed


def test_survivors_go_on_without_etcd_and_without_the_dead_or_arms() -> None:
    base = replace(ARMED, witness=Witness(**WITNESS))

    left = after(base, "store.survivors", names=["n2", "w1"], survivor="n1", epoch="e3")

    assert (left.store, left.witness, left.ha.armed) == (None, None, False)
    assert left.online == ["n1", "n3"]
    assert (left.epoch.id, left.epoch.number) == ("e3", base.epoch.number + 1)


def test_one_that_was_offline_goes_on_where_it_alone_is_left() -> None:
    base = after(IN_ETCD, "node.offline", name="n1")

    left = after(base, "store.survivors", names=["n2", "n3"], survivor="n1", epoch="e3")

    assert left.online == ["n1"]


def test_a_member_that_is_removed_is_no_voter_any_more() -> None:
    assert after(IN_ETCD, "node.remove", name="n2").store == EtcdStore(id=ID, voters=("n1", "n3"))


def test_what_a_member_was_taken_for_ends_when_it_is_online_again() -> None:
    evidence = Evidence(kind="off", by="n1", when="2026-01-01T00:00:00Z", lease=7)
    taken = replace(THREE.node("n2"), status="offline", evidence=evidence)

    back = after(THREE.with_node(taken), "node.online", name="n2")

    assert back.node("n2").evidence is None
    assert words_of_node(taken) != words_of_node(back.node("n2"))


def test_a_certificate_that_is_known_already_changes_nothing() -> None:
    certificate = THREE.node("n1").etcd_certificate

    again = after(THREE, "node.etcd", name="n1", certificate=certificate)

    assert again.generation == THREE.generation
