"""What high availability manages: entries, domains, ties and services, and what goes along."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.document.ha_entries import FailoverDomain, HaEntry, Tie
from mcv.document.model import Cluster
from mcv.document.ties import contradictions
from mcv.errors import Busy, McvError, NotFound, Refused
from tests.documents import after, by, document, of_schema, vm

DIGEST = "0" * 64
WWW = {"name": "www", "address": "192.0.2.80/24", "bridge": "br0", "node": "n1"}


def with_vms(*names: str) -> Cluster:
    base = document("n1", "n2", "n3")
    for name in names:
        base = base.with_vm(vm(name, disks=()))
    return base


BASE = with_vms("web1", "web2", "web3")
FRONT = after(BASE, "ha.domain", name="front", nodes={"n1": 1, "n2": 2}, ordered=True)
MANAGED = after(FRONT, "ha.add", name="web1", entry={"domain": "front", "max_restarts": 3})
SERVED = after(MANAGED, "service.add", service=WWW, entry={"domain": "front"})


def test_a_vm_is_managed_with_what_was_named_and_the_rest_as_it_is_by_itself() -> None:
    assert MANAGED.ha_vms == {
        "web1": HaEntry(domain="front", max_restarts=3, asked=MANAGED.generation)
    }


def test_what_is_not_named_stays() -> None:
    new = after(MANAGED, "ha.change", name="web1", recovery="relocate")

    assert new.ha_vms["web1"] == replace(MANAGED.ha_vms["web1"], recovery="relocate")


def test_an_operator_s_word_ends_a_failure_and_voids_the_counters_of_before() -> None:
    failed = after(MANAGED, "ha.failed", name="web1", why="it failed on n1 and n2")

    again = after(failed, "ha.change", name="web1", wanted="started")

    assert failed.ha_vms["web1"].failed == "it failed on n1 and n2"
    assert failed.ha_vms["web1"].asked == MANAGED.generation
    assert (again.ha_vms["web1"].failed, again.ha_vms["web1"].asked) == ("", again.generation)


def test_a_service_has_its_entry_with_itself_and_begins_stopped() -> None:
    new = after(SERVED, "ha.change", name="www", wanted="started")

    assert SERVED.services["www"].entry.wanted == "stopped"
    assert SERVED.services["www"].home == "n1"
    assert new.services["www"].entry.wanted == "started"


def test_a_vm_that_is_managed_no_longer_keeps_its_ties() -> None:
    tied = after(MANAGED, "ha.tie", kind="apart", names=["web2", "web1"])

    left = after(tied, "ha.remove", name="web1")

    assert left.ha_vms == {}
    assert left.ties == (Tie(kind="apart", names=("web1", "web2")),)


def removed(base: Cluster, name: str) -> Cluster:
    claimed = after(base, "vm.claim", "job9.1", name=name, why="delete")
    return after(claimed, "vm.remove", "job9.2", name=name)


def test_a_vm_that_is_deleted_takes_entry_and_ties_along() -> None:
    tied = after(MANAGED, "ha.tie", kind="together", names=["web1", "web2"])
    tied = after(tied, "ha.tie", kind="apart", names=["web1", "web2", "web3"][1:])
    tied = after(tied, "ha.tie", kind="apart", names=["web1", "web3"])

    left = removed(tied, "web1")

    assert left.ha_vms == {}
    assert left.ties == (Tie(kind="apart", names=("web2", "web3")),)


def test_a_vm_that_is_renamed_takes_entry_and_ties_along() -> None:
    tied = after(MANAGED, "ha.tie", kind="apart", names=["web1", "web2"])
    claimed = after(tied, "vm.claim", "job9.1", name="web1", why="rename")

    new = after(claimed, "vm.rename", "job9.2", name="web1", new="zope")

    assert new.ha_vms == {"zope": MANAGED.ha_vms["web1"]}
    assert new.ties == (Tie(kind="apart", names=("web2", "zope")),)


def test_a_service_that_is_deleted_takes_its_ties_along() -> None:
    tied = after(SERVED, "ha.tie", kind="apart", names=["www", "web2"])
    claimed = after(tied, "service.claim", "job9.1", name="www", why="delete")

    left = after(claimed, "service.gone", "job9.2", name="www")

    assert (left.services, left.ties) == ({}, ())


def test_a_service_moves_under_a_claim_and_its_home_with_it_at_an_operator_s_word() -> None:
    claimed = after(SERVED, "service.claim", "job9.1", name="www", why="move")

    put = after(claimed, "service.owner", "job9.2", name="www", node="n2", home="n2")
    drained = after(claimed, "service.owner", "job9.2", name="www", node="n2")

    assert (put.services["www"].node, put.services["www"].home) == ("n2", "n2")
    assert (drained.services["www"].node, drained.services["www"].home) == ("n2", "n1")


def test_services_of_a_node_that_is_gone_are_taken_with_its_vms_in_one_change() -> None:
    dead = by("n2", SERVED, "node.dead", {"names": ["n1"], "survivor": "n2", "epoch": "e2"})

    takers = {"web1": "n2", "www": "n3", "web9": "n3"}
    taken = by("n2", dead, "vm.take_all", {"name": "n1", "takers": takers})

    assert (taken.vm("web1").node, taken.services["www"].node) == ("n2", "n3")
    assert (taken.vm("web1").home or "n1", taken.services["www"].home) == ("n1", "n1")
    with pytest.raises(Refused, match="n1 takes no services"):
        by("n2", dead, "vm.take_all", {"name": "n1", "takers": {"www": "n1"}})


def test_a_member_that_is_removed_leaves_domains_and_homes_of_services() -> None:
    moved = after(SERVED, "service.claim", "job9.1", name="www", why="move")
    moved = after(moved, "service.owner", "job9.2", name="www", node="n2")
    base = replace(moved, vms={})

    left = by("n2", base, "node.remove", {"name": "n1"})

    assert left.domains["front"].nodes == {"n2": 2}
    assert left.services["www"].home == "n2"


def test_cards_of_a_member_are_written_down_once() -> None:
    macs = ["52:54:00:00:00:02", "52:54:00:00:00:01"]

    told = after(BASE, "node.macs", name="n1", macs=macs)

    assert told.node("n1").macs == tuple(sorted(macs))
    assert after(told, "node.macs", name="n1", macs=macs) is told
    with pytest.raises(Refused):
        after(BASE, "node.macs", name="n1", macs=["eth0"])


TIED = after(SERVED, "ha.tie", kind="together", names=["web1", "www"])
TIED = after(TIED, "ha.tie", kind="together", names=["www", "web2"])

REFUSALS: list[tuple[str, Cluster, dict[str, Any], type[McvError], str]] = [
    ("ha.add", BASE, {"name": "web9", "entry": {}}, NotFound, "no VM web9"),
    ("ha.add", MANAGED, {"name": "web1", "entry": {}}, Refused, "managed already"),
    ("ha.add", BASE, {"name": "web1", "entry": {"domain": "back"}}, NotFound, "domain back"),
    ("ha.add", BASE, {"name": "web1", "entry": {"failed": "x"}}, Refused, "no failed"),
    ("ha.add", BASE, {"name": "web1", "entry": {"window": 0}}, Refused, "no entry"),
    ("ha.change", BASE, {"name": "web1", "priority": 1}, NotFound, "not managed"),
    ("ha.change", BASE, {"name": "web9", "priority": 1}, NotFound, "no VM or service"),
    ("ha.remove", SERVED, {"name": "www"}, Refused, "www is a service"),
    ("ha.remove", BASE, {"name": "web1"}, NotFound, "not managed"),
    ("ha.domain", FRONT, {"name": "front", "nodes": {"n1": 1}}, Refused, "front already"),
    ("ha.domain", BASE, {"name": "Front", "nodes": {"n1": 1}}, Refused, "no name"),
    ("ha.domain", BASE, {"name": "front", "nodes": {"n9": 1}}, NotFound, "no node n9"),
    ("ha.domain", BASE, {"name": "front", "nodes": {"n1": 0}}, Refused, "no failover domain"),
    ("ha.domain", BASE, {"name": "front", "nodes": {}}, Refused, "one node"),
    ("ha.domain_gone", BASE, {"name": "front"}, NotFound, "no failover domain"),
    ("ha.domain_gone", SERVED, {"name": "front"}, Refused, "web1, www are in front"),
    ("ha.tie", BASE, {"kind": "apart", "names": ["web1", "web1"]}, Refused, "two names"),
    ("ha.tie", BASE, {"kind": "apart", "names": ["web1", "web9"]}, NotFound, "service web9"),
    ("ha.tie", BASE, {"kind": "near", "names": ["web1", "web2"]}, Refused, "no tie"),
    ("ha.tie", TIED, {"kind": "together", "names": ["www", "web1"]}, Refused, "already"),
    ("ha.tie", TIED, {"kind": "apart", "names": ["web2", "web1"]}, Refused, "on one node and on"),
    ("ha.untie", TIED, {"kind": "apart", "names": ["www", "web1"]}, NotFound, "not tied apart"),
    ("service.add", SERVED, {"service": WWW, "entry": {}}, Refused, "service www already"),
    ("service.add", BASE, {"service": {**WWW, "name": "web1"}, "entry": {}}, Refused, "a VM web1"),
    ("service.add", SERVED, {"service": {**WWW, "name": "w2"}, "entry": {}}, Refused, "of www"),
    ("service.add", BASE, {"service": {**WWW, "node": "n9"}, "entry": {}}, NotFound, "n9"),
    ("service.owner", SERVED, {"name": "www", "node": "n2"}, Busy, "not claimed"),
    ("service.gone", SERVED, {"name": "www"}, Busy, "not claimed"),
    ("node.remove", replace(SERVED, vms={}), {"name": "n1"}, Refused, "www"),
    ("node.maintenance", replace(SERVED, vms={}), {"name": "n1"}, Refused, "owns www"),
]


@pytest.mark.parametrize(("change", "base", "params", "error", "said"), REFUSALS)
def test_what_would_make_no_sense_is_refused(
    change: str, base: Cluster, params: dict[str, Any], error: type[McvError], said: str
) -> None:
    with pytest.raises(error, match=said):
        by("n2", base, change, params)


def test_a_vm_has_no_name_of_a_service() -> None:
    claimed = after(SERVED, "vm.claim", "job9.1", name="web1", why="rename")
    with pytest.raises(Refused, match="service www already"):
        after(claimed, "vm.rename", "job9.2", name="web1", new="www")
    values = {"name": "www", "uuid": "u", "memory": 1, "cpus": 1, "node": "n1", "nodes": ["n1"]}
    with pytest.raises(Refused, match="service www already"):
        after(SERVED, "vm.add", vm=values, why="x")


def test_a_domain_goes_with_its_last_node_unless_something_is_in_it() -> None:
    alone = after(BASE, "ha.domain", name="solo", nodes={"n3": 1})
    used = after(alone, "ha.add", name="web1", entry={"domain": "solo"})

    assert after(alone, "node.remove", name="n3").domains == {}
    with pytest.raises(Refused, match="last node of the failover domain solo of web1"):
        after(used, "node.remove", name="n3")


@pytest.mark.parametrize(
    ("change", "params"),
    [
        ("ha.add", {"name": "web1", "entry": {}}),
        ("ha.domain", {"name": "front", "nodes": {"n1": 1}}),
        ("ha.tie", {"kind": "apart", "names": ["web1", "web2"]}),
        ("service.add", {"service": WWW, "entry": {}}),
        ("node.macs", {"name": "n1", "macs": []}),
    ],
)
def test_nothing_of_it_is_written_before_all_members_read_it(
    change: str, params: dict[str, Any]
) -> None:
    with pytest.raises(Refused, match="cannot hold this yet"):
        after(of_schema(5, BASE), change, **params)


def test_contradictions_are_found_over_others_between_them() -> None:
    chain = (
        Tie(kind="together", names=("a", "b")),
        Tie(kind="together", names=("b", "c")),
        Tie(kind="apart", names=("a", "d")),
        Tie(kind="apart", names=("a", "c", "d")),
    )

    assert contradictions(chain) == [("a", "c")]


def test_a_domain_is_written_as_it_was_asked_for() -> None:
    assert FRONT.domains["front"] == FailoverDomain(nodes={"n1": 1, "n2": 2}, ordered=True)
