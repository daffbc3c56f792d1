"""A dead node is replaced: every replica in one plan, refused with the problems of all VMs."""

from typing import Any

import pytest

from mcv.cluster import members, replacing
from mcv.drbd import resync
from mcv.errors import DoneInPart, McvError, Refused
from mcv.vm import create, register
from tests.fakes.cluster import FakeCluster

NODES = ("n1", "n2", "n3", "n4")


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resync, "PATIENCE", 0.05)
    monkeypatch.setattr(resync, "POLL", 0.01)
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)


@pytest.fixture
def four(tmp_path: Any) -> FakeCluster:
    """web1 on n1 and n2, web2 on n3 and n2, web3 on n1 and n3, tmp on n2 alone."""
    cluster = FakeCluster(tmp_path, NODES)
    for name, nodes in (("web1", "n1 n2"), ("web2", "n3 n2"), ("web3", "n1 n3")):
        make(cluster, name, nodes.split())
    make(cluster, "tmp", ["n2"], storage="file")
    return cluster


def make(cluster: FakeCluster, name: str, nodes: list[str], storage: str = "drbd") -> None:
    options = {"memory": "64MiB", "disks": ["64MiB"], "storage": storage, "nodes": nodes}
    cluster.run(nodes[0], create.create, name=name, **options)


def lose(cluster: FakeCluster, node: str = "n2") -> None:
    cluster.down.add(node)
    cluster.run("n1", members.offline, names=[node], confirm_dead=True)


def replace(cluster: FakeCluster, by: str = "n4", **options: Any) -> Any:
    return cluster.run("n1", replacing.replace, node="n2", by=by, **options)


def places(cluster: FakeCluster) -> dict[str, list[str]]:
    vms = cluster.read().vms.values()
    return {vm.name: sorted(vm.disks[0].places) for vm in vms}


def said(error: McvError) -> list[str]:
    return [message for message, _ in error.problems] or [error.message]


def test_every_replica_of_a_dead_node_goes_to_another(four: FakeCluster) -> None:
    lose(four)

    answer = replace(four)

    assert (answer.moved, answer.lost) == (["web1", "web2"], ["tmp"])
    assert places(four) == {
        "tmp": ["n2"],
        "web1": ["n1", "n4"],
        "web2": ["n3", "n4"],
        "web3": ["n1", "n3"],
    }
    for vm in ("web1", "web2"):
        assert four.read().vm(vm).replicated[0].verification.result == "clean"
        assert four.drbd["n4"].statuses()[f"mcv-{vm}-1"].both_up_to_date
        assert four.read().vm(vm).claim is None
    assert four.read().nodes["n2"].claim is None
    assert sorted(four.lvm["n4"].made) == ["mcv-web1-1", "mcv-web2-1"]


def test_the_plan_tells_of_the_risk_and_of_what_is_lost(four: FakeCluster) -> None:
    lose(four)

    plan = replace(four, dry_run=True).plan

    assert plan[-2].startswith("2 replicas move; until each is verified")
    assert plan[-1] == "tmp is lost with n2: its disks are there alone."


def test_a_node_that_lives_is_not_replaced(four: FakeCluster) -> None:
    before = four.picture()

    with pytest.raises(Refused, match="n2 is online") as refused:
        replace(four)

    assert "mcv disk move VM ID --from n2 --to n4" in refused.value.hint
    assert four.picture() == before


def test_the_problems_of_all_vms_are_told_at_once(four: FakeCluster) -> None:
    lose(four)
    before = four.picture()

    with pytest.raises(Refused) as refused:
        replace(four, by="n3")
    assert said(refused.value) == ["n3 holds a replica of disk 1 of web2 already."]

    four.lvm["n4"].made |= {"mcv-web1-1": 1, "mcv-web2-1": 1}
    with pytest.raises(Refused) as refused:
        replace(four)
    assert [line.partition(":")[0] for line in said(refused.value)] == ["web1", "web2"]
    four.lvm["n4"].made.clear()
    assert four.picture() == before


def test_replicas_that_do_not_fit_together_are_refused(
    four: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(four)
    monkeypatch.setattr(four.lvm["n4"], "size", 100 * 1024**2)

    with pytest.raises(Refused, match=r"on n4 has .* free, .* are needed"):
        replace(four)


def test_a_vm_of_the_dead_node_is_taken_over_first(four: FakeCluster) -> None:
    make(four, "web4", ["n2", "n1"])
    sight = four.hosts["n1"].observations
    sight.see_in_step("mcv-web4-1")
    sight.hear("n2")
    lose(four)

    with pytest.raises(Refused, match="web4 belongs to n2") as refused:
        replace(four)
    assert refused.value.hint == "First: mcv register web4 --node n1"

    four.run("n1", register.register, name="web4")
    assert replace(four).moved == ["web1", "web2", "web4"]


def test_a_vm_that_cannot_be_moved_is_told_and_the_others_are_moved(four: FakeCluster) -> None:
    lose(four)
    four.drbd["n1"].broken.add("mcv-web1-1")

    with pytest.raises(DoneInPart, match="web1"):
        replace(four)

    assert places(four)["web1"] == ["n1", "n2"] and places(four)["web2"] == ["n3", "n4"]
    four.drbd["n1"].broken.clear()
    assert replace(four).moved == ["web1"]
    assert places(four)["web1"] == ["n1", "n4"]


def test_the_dead_node_does_not_come_back_in_the_middle(four: FakeCluster) -> None:
    lose(four)
    seen: list[str] = []

    def look(caller: str, node: str, operation: str) -> None:
        if operation == "disk.replace_here":
            seen.append(four.read().nodes["n2"].claim.why)  # type: ignore[union-attr]

    four.spy = look
    replace(four)

    assert seen == ["replace node n2 by n4", "replace node n2 by n4"]


def test_a_node_that_holds_replicas_is_not_removed_and_the_way_is_named(
    four: FakeCluster,
) -> None:
    lose(four)

    with pytest.raises(Refused) as refused:
        four.run("n1", members.remove_node, node="n2", force=True)

    hints = [hint for _, hint in refused.value.problems]
    assert "First: mcv node replace n2 --by N" in hints
