"""Who may make which change: a row of the table for each, and a story for each rule."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.document import changes
from mcv.document.authors import AUTHORS, require_author
from mcv.document.claim import Claim
from mcv.document.ha_entries import Service
from mcv.document.model import Cluster
from mcv.document.networks import Network
from mcv.document.subject import Subject
from mcv.errors import Refused
from tests.documents import by, document, member, vm

THREE = document("n1", "n2", "n3").with_vm(vm("web1", node="n2", nodes=("n1", "n2")))


def claimed(base: Cluster, subject: Subject, node: str) -> Cluster:
    claim = Claim(operation="job1", node=node, epoch=1, generation=1, why="x", since="x")
    if subject.kind == "vm":
        return base.with_vm(replace(base.vm(subject.name), claim=claim))
    return base.with_node(replace(base.node(subject.name), claim=claim))


def away(base: Cluster, *names: str) -> Cluster:
    for name in names:
        base = base.with_node(replace(base.node(name), status="offline"))
    return base


VM_CLAIMED = claimed(THREE, Subject.vm("web1"), "n3")
NODE_CLAIMED = claimed(away(THREE, "n2"), Subject.node("n2"), "n3")
EMPTY_CLAIMED = NODE_CLAIMED.without_vm("web1")
VERIFIED = {"result": "out-of-sync", "when": "x", "who": "x", "operation": "job1"}
BEGUN = {**VERIFIED, "result": "running"}
CLEAN = {**VERIFIED, "result": "clean"}
WEB1 = {"name": "web1"}
SERVED = replace(
    THREE, services={"www": Service(name="www", address="192.0.2.8/24", bridge="br0", node="n2")}
)
HELD = SERVED.with_claim(
    Subject.service("www"),
    Claim(operation="job1", node="n3", epoch=1, generation=1, why="x", since="x"),
)
WEB2 = {"vm": {"name": "web2", "uuid": "u", "memory": 1, "cpus": 1, "node": "n2", "nodes": ["n2"]}}
CLAIM = {"name": "web1", "why": "x"}
LOCK = {"name": "web1", "locked": True}
ADDRESSES = {"ip_address": "10.0.0.9", "drbd_address": "10.0.0.9"}
TAKE = {"subject": "vm:web1", "why": "x"}

STORIES: list[tuple[str, Cluster, str, dict[str, Any], str]] = [
    ("a superuser", THREE, "permission.add", {"user": "eve"}, "n1 n2 n3"),
    ("a node that is offline changes nothing", away(THREE, "n3"), "barrier", {}, "n1 n2"),
    ("a VM is claimed by its owner", THREE, "vm.claim", CLAIM, "n2"),
    ("of an owner that is away by any", away(THREE, "n2"), "vm.claim", CLAIM, "n1 n3"),
    ("the lock is the owner's", THREE, "vm.lock", LOCK, "n2"),
    ("an override too", THREE, "vm.override", {"name": "web1", "what": "start"}, "n2"),
    ("under a claim its node", VM_CLAIMED, "vm.override", {"name": "web1", "what": "x"}, "n3"),
    ("owner", VM_CLAIMED, "vm.assign", {"name": "web1", "node": "n1"}, "n3"),
    ("name", VM_CLAIMED, "vm.rename", {"name": "web1", "new": "www"}, "n3"),
    ("removal", VM_CLAIMED, "vm.remove", WEB1, "n3"),
    ("definition", VM_CLAIMED, "vm.update", {"name": "web1", "memory": 1, "cpus": 1}, "n3"),
    ("release", VM_CLAIMED, "vm.release", WEB1, "n3"),
    ("release of what is away", away(VM_CLAIMED, "n3"), "vm.release", WEB1, "n1 n2"),
    ("no takeover of the living", VM_CLAIMED, "claim.take_over", TAKE, ""),
    ("a takeover", away(VM_CLAIMED, "n3"), "claim.take_over", TAKE, "n1 n2"),
    ("a new VM by its owner to be", THREE, "vm.add", {**WEB2, "why": "x"}, "n2"),
    ("a verification is begun by the owner", THREE, "vm.verified", {"verification": BEGUN}, "n2"),
    ("a finding by each replica", THREE, "vm.verified", {"verification": VERIFIED}, "n1 n2"),
    ("a node's addresses", THREE, "node.addresses", {"name": "n2", **ADDRESSES}, "n2"),
    ("a node comes back itself", away(THREE, "n2"), "node.online", {"name": "n2"}, "n2"),
    ("or with the join", NODE_CLAIMED, "node.online", {"name": "n2"}, "n3"),
    ("a node leaves itself", THREE, "node.offline", {"name": "n2"}, "n2"),
    ("a node is removed by the claim's", NODE_CLAIMED, "node.release", {"name": "n2"}, "n3"),
    ("a drain", THREE, "node.drain", {"name": "n2"}, "n1 n2 n3"),
    ("maintenance under a claim", EMPTY_CLAIMED, "node.maintenance", {"name": "n2"}, "n3"),
    ("a restoration under a claim", NODE_CLAIMED, "node.restore", {"name": "n2"}, "n3"),
    ("a grant", THREE, "permission.grant", {"who": "%ops", "right": "view"}, "n1 n2 n3"),
    ("properties", VM_CLAIMED, "vm.set", {"name": "web1", "protected": True}, "n3"),
    ("NICs", VM_CLAIMED, "vm.nics", {"name": "web1", "nics": []}, "n3"),
    ("devices", VM_CLAIMED, "vm.devices", {"name": "web1", "devices": []}, "n3"),
    ("an overlay", VM_CLAIMED, "vm.overlay", {"name": "web1", "overlay": "<domain/>"}, "n3"),
    (
        "a network in use by nobody",
        THREE.with_network(Network(name="lan", bridge="br0")),
        "network.alter",
        {"name": "lan", "users": [], "values": {"vlan": 7}},
        "n1 n2 n3",
    ),
    ("an entry", THREE, "ha.add", {"name": "web1", "entry": {}}, "n1 n2 n3"),
    ("a service's claim", SERVED, "service.claim", {"name": "www", "why": "x"}, "n2"),
    ("of an owner away", away(SERVED, "n2"), "service.claim", {"name": "www", "why": "x"}, "n1 n3"),
    ("a service's owner", HELD, "service.owner", {"name": "www", "node": "n1"}, "n3"),
    ("its release", HELD, "service.release", {"name": "www"}, "n3"),
    ("its end", HELD, "service.gone", {"name": "www"}, "n3"),
    ("a node's cards", THREE, "node.macs", {"name": "n2", "macs": ["52:54:00:00:00:01"]}, "n2"),
    ("a network", THREE, "network.add", {"name": "lan", "bridge": "br0"}, "n1 n2 n3"),
]


@pytest.mark.parametrize(("story", "base", "name", "params", "may"), STORIES)
def test_a_change_is_made_by_those_that_it_belongs_to(
    story: str, base: Cluster, name: str, params: dict[str, Any], may: str
) -> None:
    given = {"name": "web1", "disk": 1, **params} if name == "vm.verified" else params
    allowed = []
    for node in base.nodes:
        new = by(node, base, name, given, "job1.1")
        try:
            require_author(base, new)
        except Refused:
            continue
        allowed.append(node)

    assert " ".join(allowed) == may, story


def test_every_change_has_a_row() -> None:
    assert set(AUTHORS) == set(changes.CHANGES)


def test_no_other_node_passes_a_change_off_as_one_of_an_operation_that_has_claimed() -> None:
    for base in (VM_CLAIMED, claimed(THREE, Subject.node("n2"), "n3")):
        require_author(base, by("n3", base, "barrier", {}, "job1.7"))
        require_author(base, by("n1", base, "barrier", {}, "job2.7"))
        with pytest.raises(Refused):
            require_author(base, by("n1", base, "barrier", {}, "job1.7"))


def test_a_node_that_is_no_member_changes_nothing() -> None:
    with pytest.raises(Refused):
        require_author(THREE, by("n9", THREE, "barrier", {}))
    new = by("n1", THREE, "node.add", {"node": {**_plain("n9")}, "why": "x"})
    with pytest.raises(Refused):
        require_author(THREE, replace(new, change=replace(new.change, node="n9")))


def _plain(name: str) -> dict[str, Any]:
    node = member(name)
    return {field: getattr(node, field) for field in node.__struct_fields__ if field != "claim"}
