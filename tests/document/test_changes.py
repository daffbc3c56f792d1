"""The changes that the document knows: what each does, and when it refuses."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.document import changes
from mcv.document.disks import Verification
from mcv.document.lineage import descends
from mcv.document.model import REMEMBERED_CHANGES, Cluster, decode, digest, encode
from mcv.document.subject import Subject
from mcv.errors import Busy, McvError, NotFound, Refused
from mcv.system.answers import plain as as_plain
from tests.documents import after, disk, document, in_epoch, made, member, vm

CLAIMED = after(document().with_vm(vm()), "vm.claim", "job1.1", name="web1", why="migrate")
NIC = {"network": "lan", "mac": "52:54:00:00:00:01"}
WITH_LAN = after(document(), "network.add", name="lan", bridge="br-lan")


def test_a_change_makes_the_next_generation_and_writes_down_who_made_it() -> None:
    base = document()

    new = after(base, "permission.add", "job1.7", user="alice")

    assert (new.generation, new.parent) == (2, digest(base))
    assert new.change.who == "alice" and new.changes == ("job1.7",)
    assert new.epoch == base.epoch and decode(encode(new)) == new


def test_only_the_last_changes_are_remembered() -> None:
    cluster = document()

    for number in range(REMEMBERED_CHANGES + 3):
        cluster = after(cluster, "barrier", f"job{number}.1")

    assert len(cluster.changes) == REMEMBERED_CHANGES
    assert cluster.changes[-1] == f"job{REMEMBERED_CHANGES + 2}.1"


def test_a_change_with_nothing_to_change_is_the_document_itself() -> None:
    base = document()

    for name, params in (
        ("vm.release", {"name": "web1"}),
        ("vm.remove", {"name": "web1"}),
        ("node.release", {"name": "n2"}),
        ("node.remove", {"name": "n9"}),
    ):
        assert after(base, name, **params) is base


def test_a_claim_carries_the_number_of_the_change_that_set_it() -> None:
    base = document().with_vm(vm())

    first = after(base, "vm.claim", "job1.1", name="web1", why="migrate")
    free = after(first, "vm.release", "job1.2", name="web1")
    second = after(free, "vm.claim", "job1.3", name="web1", why="migrate")

    claims = [one.claim_of(Subject.vm("web1")) for one in (first, second)]
    numbers = [(claim.epoch, claim.generation) for claim in claims if claim]
    assert numbers == [(1, 2), (1, 4)]
    assert claims[0] is not None and (claims[0].operation, claims[0].node) == ("job1", "n1")
    assert free.vm("web1").claim is None


def test_a_new_vm_and_a_new_member_come_with_their_claims_and_the_member_is_offline() -> None:
    with_vm = after(document(), "vm.add", "job1.0", vm=as_plain(vm()), why="create")
    with_node = after(document(), "node.add", "job2.0", node=as_plain(member("n3")), why="join")

    assert (claim := with_vm.claim_of(Subject.vm("web1"))) is not None and claim.operation == "job1"
    assert (
        claim := with_node.claim_of(Subject.node("n3"))
    ) is not None and claim.operation == "job2"
    assert with_node.nodes["n3"].status == "offline" and with_node.online == ["n1", "n2"]


def test_a_vm_that_is_renamed_keeps_all_else_and_its_claim_with_its_number() -> None:
    renamed = after(CLAIMED, "vm.rename", "job1.2", name="web1", new="www")

    assert renamed.vms == {"www": replace(CLAIMED.vm("web1"), name="www")}


@pytest.mark.parametrize(
    ("new", "said"), [("web1", "a VM web1 already"), ("../x", "no name for a VM")]
)
def test_a_name_that_is_taken_or_none_is_given_to_no_vm(new: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        after(CLAIMED, "vm.rename", "job1.2", name="web1", new=new)


UNCLAIMED = document().with_vm(vm())
BLOCKED = UNCLAIMED.with_vm(
    vm(disks=(disk(verification=Verification(result="out-of-sync", blocked=True)),))
)
NODE_CLAIMED = after(document(), "node.claim", "job1.1", name="n2", why="remove node n2")
AWAY = after(document(), "node.offline", name="n2", maintenance=True)

REFUSALS: list[tuple[str, Cluster, dict[str, Any], type[McvError], str]] = [
    ("vm.claim", CLAIMED, {"name": "web1", "why": "x"}, Busy, "web1 is busy: migrate, on n1"),
    ("vm.claim", document(), {"name": "web1", "why": "x"}, NotFound, "no VM web1"),
    ("vm.add", UNCLAIMED, {"vm": as_plain(vm()), "why": "x"}, Refused, "There is a VM web1"),
    (
        "vm.add",
        UNCLAIMED,
        {"vm": as_plain(vm("web2", disks=(disk("web2", port=7999),))), "why": "x"},
        Busy,
        "Minor 100",
    ),
    (
        "vm.add",
        UNCLAIMED,
        {"vm": as_plain(vm("web2", disks=(disk("web2", minor=999),))), "why": "x"},
        Busy,
        "port 7900",
    ),
    (
        "vm.add",
        document(),
        {"vm": {**as_plain(vm()), "nics": [NIC]}, "why": "x"},
        NotFound,
        "no network lan",
    ),
    (
        "vm.add",
        document("n1"),
        {"vm": as_plain(vm()), "why": "x"},
        NotFound,
        "no node n2",
    ),
    ("vm.remove", UNCLAIMED, {"name": "web1"}, Busy, "not claimed by this operation"),
    ("vm.remove", CLAIMED, {"name": "web1"}, Busy, "not claimed by this operation"),
    ("vm.assign", CLAIMED, {"name": "web1", "node": "n2"}, Busy, "not claimed"),
    ("vm.update", UNCLAIMED, {"name": "web1", "memory": 1, "cpus": 1}, Busy, "not claimed"),
    ("vm.rename", UNCLAIMED, {"name": "web1", "new": "www"}, Busy, "not claimed"),
    ("vm.lock", UNCLAIMED, {"name": "web1", "locked": False}, Refused, "not locked"),
    ("vm.lock", CLAIMED, {"name": "web1", "locked": True}, Busy, "busy"),
    ("network.add", WITH_LAN, {"name": "lan", "bridge": "b"}, Refused, "a network lan already"),
    ("network.remove", document(), {"name": "lan"}, NotFound, "no network lan"),
    ("node.add", document(), {"node": as_plain(member("n2")), "why": "x"}, Refused, "member"),
    ("node.claim", NODE_CLAIMED, {"name": "n2", "why": "x"}, Busy, "n2 is busy: remove node n2"),
    ("node.online", AWAY, {"name": "n2"}, Refused, "maintenance"),
    ("node.offline", document("n1"), {"name": "n1"}, Refused, "last node online"),
    ("node.remove", UNCLAIMED, {"name": "n2"}, Refused, "replica of web1"),
    ("node.remove", UNCLAIMED, {"name": "n1"}, Refused, "owns or holds"),
    ("permission.remove", document(), {"user": "bob"}, NotFound, "no superuser"),
]


@pytest.mark.parametrize(("name", "base", "params", "error", "said"), REFUSALS)
def test_a_change_that_makes_no_sense_is_refused(
    name: str, base: Cluster, params: dict[str, Any], error: type[McvError], said: str
) -> None:
    with pytest.raises(error, match=said):
        after(base, name, "another.1", **params)


def test_what_is_there_twice_is_refused_the_second_time() -> None:
    for name, params in (
        ("permission.add", {"user": "alice"}),
        ("drbd.enable", {}),
        ("vm.lock", {"name": "web1", "locked": True}),
    ):
        once = after(UNCLAIMED, name, **params)
        with pytest.raises(Refused):
            after(once, name, **params)


def test_owner_and_definition_change_under_the_claim_of_the_same_operation() -> None:
    moved = after(CLAIMED, "vm.assign", "job1.2", name="web1", node="n2")
    grown = after(CLAIMED, "vm.update", "job1.2", name="web1", memory=None, cpus=4)
    gone = after(CLAIMED, "vm.remove", "job1.3", name="web1")

    assert moved.vm("web1").node == "n2"
    assert (grown.vm("web1").cpus, grown.vm("web1").memory) == (4, 64 * 1024**2)
    assert "web1" not in gone.vms
    with pytest.raises(NotFound):
        after(CLAIMED, "vm.assign", "job1.2", name="web1", node="n9")


@pytest.mark.parametrize(
    ("result", "blocked"),
    [("clean", False), ("interrupted", True), ("running", True), ("out-of-sync", True)],
)
def test_a_mark_is_lifted_by_a_clean_verification_alone(result: Any, blocked: bool) -> None:
    running = as_plain(Verification(result="running", operation="job1"))
    verification = as_plain(Verification(result=result, operation="job1"))

    def verified(base: Cluster, what: Any) -> Cluster:
        return after(base, "vm.verified", name="web1", disk=1, verification=what)

    assert verified(verified(BLOCKED, running), verification).vm("web1").blocked == blocked
    fresh = verified(verified(UNCLAIMED, running), verification).vm("web1")
    assert fresh.blocked == (result == "out-of-sync")


@pytest.mark.parametrize("result", ["clean", "interrupted"])
def test_an_end_counts_for_the_verification_that_began_last(result: Any) -> None:
    def verified(base: Cluster, what: Any, job: str) -> Cluster:
        said = as_plain(Verification(result=what, operation=job))
        return after(base, "vm.verified", name="web1", disk=1, verification=said)

    second = verified(verified(BLOCKED, "running", "job1"), "running", "job2")

    for late in (second, verified(second, "out-of-sync", "job2")):
        with pytest.raises(Refused, match="not the last one"):
            verified(late, result, "job1")
    assert verified(second, "out-of-sync", "job1").vm("web1").blocked


def test_an_override_names_who_did_it() -> None:
    override = after(BLOCKED, "vm.override", name="web1", what="start").vm("web1").override

    assert override is not None and (override.who, override.what) == ("alice", "start")


def test_a_network_in_use_stays() -> None:
    with_nic = after(WITH_LAN, "vm.add", vm={**as_plain(vm()), "nics": [NIC]}, why="create")

    with pytest.raises(Refused, match="used by web1"):
        after(with_nic, "network.remove", name="lan")
    assert "lan" not in after(WITH_LAN, "network.remove", name="lan").networks


def test_a_network_is_altered_only_while_those_have_cards_in_it_that_were_judged() -> None:
    with_nic = after(WITH_LAN, "vm.add", vm={**as_plain(vm()), "nics": [NIC]}, why="create")
    values = {"vlan": 7}

    for base, users in ((with_nic, []), (WITH_LAN, ["web1"])):
        with pytest.raises(Busy, match="Cards came to network lan, or left it, meanwhile"):
            after(base, "network.alter", name="lan", users=users, values=values)
    new = after(with_nic, "network.alter", name="lan", users=["web1"], values=values)

    assert new.network("lan") == replace(with_nic.network("lan"), vlan=7)
    with pytest.raises(Refused, match="no property name"):
        after(with_nic, "network.alter", name="lan", users=["web1"], values={"name": "x"})


def test_the_dead_go_offline_together_and_it_begins_an_epoch() -> None:
    base = after(document("n1", "n2", "n3"))

    new = after(base, "node.dead", names=["n1", "n3"], survivor="n2", epoch="e2")

    assert new.online == ["n2"] and new.coordinator == "n2"
    assert new.version == (2, "e2", 3)
    assert (link := new.epochs[-1]).generation == 2 and link.hash == digest(base)
    assert descends(new, base, digest(base)) and not descends(base, new, digest(new))


def test_where_nobody_else_is_left_the_survivor_is_online() -> None:
    alone = after(document(), "node.offline", name="n2")

    new = after(alone, "node.dead", names=["n1"], survivor="n2", epoch="e2")

    assert new.online == ["n2"] and new.nodes["n1"].status == "offline"


def test_maintenance_ends_by_the_word_for_it_alone() -> None:
    back = after(AWAY, "node.online", name="n2", maintenance=True)

    assert back.online == ["n1", "n2"] and not back.nodes["n2"].maintenance
    assert after(after(document(), "node.offline", name="n2"), "node.online", name="n2").online == [
        "n1",
        "n2",
    ]


def test_a_vm_without_disks_may_run_on_every_member_whoever_comes_and_goes() -> None:
    base = document().with_vm(vm(disks=()))

    more = after(base, "node.add", node=as_plain(member("n3")), why="join")
    fewer = after(base, "node.remove", name="n2")

    assert more.vm("web1").nodes == ("n1", "n2", "n3")
    assert fewer.vm("web1").nodes == ("n1",)


def test_settings_and_addresses_are_changed_by_name() -> None:
    new = after(document(), "drbd.set", resync_rate=5, on_peer_loss="wait")
    moved = after(
        document(), "node.addresses", name="n2", ip_address="10.1.0.2", drbd_address="10.2.0.2"
    )

    assert (new.drbd.resync_rate, new.drbd.on_peer_loss) == (5, "wait")
    assert moved.nodes["n2"].drbd_address == "10.2.0.2"
    with pytest.raises(TypeError):
        after(document(), "drbd.set", no_such=1)


def test_every_change_of_the_table_is_a_pure_function_of_the_document() -> None:
    base = in_epoch(UNCLAIMED, "e2")
    before = encode(base)

    for name in changes.CHANGES:
        try:
            changes.apply(base, name, {"name": "web1", "why": "x"}, made())
        except (McvError, TypeError):
            continue

    assert encode(base) == before
    assert replace(base) == base


def test_every_change_of_owner_begins_another_incarnation() -> None:
    moved = after(CLAIMED, "vm.assign", "job1.2", name="web1", node="n2")
    again = after(moved, "vm.assign", "job1.3", name="web1", node="n2")
    back = after(again, "vm.assign", "job1.4", name="web1", node="n1")

    assert [one.vm("web1").incarnation for one in (CLAIMED, moved, again, back)] == [0, 1, 1, 2]


def test_a_document_of_schema_1_is_changed_as_it_always_was() -> None:
    old = replace(CLAIMED, schema=1)

    moved = after(old, "vm.assign", "job1.2", name="web1", node="n2")

    assert moved.vm("web1") == replace(old.vm("web1"), node="n2")


def test_only_the_operation_that_holds_the_claim_renews_a_vm() -> None:
    with pytest.raises(Busy):
        after(CLAIMED, "vm.renew", "job2.1", name="web1")

    renewed = after(CLAIMED, "vm.renew", "job1.2", name="web1")

    assert renewed.vm("web1").incarnation == 1
