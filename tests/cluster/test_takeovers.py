"""All VMs of a node that is dead are taken over at one word, each told with what it rests on."""

from typing import Any

import pytest

from mcv.cluster import draining, members
from mcv.errors import DoneInPart, PeerUnreachable, Refused
from mcv.vm import create
from tests.fakes.cluster import FakeCluster


@pytest.fixture
def dead(three: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """n1 is dead: web1 was on n1 and n2, web2 on n1 and n3, none has no disk, tmp was there alone.

    web1 starts last.
    """
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)
    make(three, "web1", nodes=["n1", "n2"], disks=["64MiB"], start_order=1)
    make(three, "web2", nodes=["n1", "n3"], disks=["64MiB"], start_order=0)
    make(three, "none")
    make(three, "tmp", disks=["64MiB"], storage="file")
    for node, name in (("n2", "web1"), ("n3", "web2")):
        sight = three.hosts[node].observations
        sight.see_in_step(f"mcv-{name}-1")
        sight.hear("n1")
    three.down.add("n1")
    return three


def make(cluster: FakeCluster, name: str, **options: Any) -> None:
    cluster.run("n1", create.create, name=name, memory="64MiB", **options)


def declare(cluster: FakeCluster) -> None:
    cluster.run("n2", members.offline, names=["n1"], confirm_dead=True)


def evacuate(cluster: FakeCluster, **options: Any) -> Any:
    return cluster.run("n2", draining.evacuate, node="n1", **options)


def owners(cluster: FakeCluster) -> dict[str, str]:
    return {name: vm.node for name, vm in sorted(cluster.read("n2").vms.items())}


def test_each_vm_is_taken_over_where_its_replica_is_and_keeps_its_home(dead: FakeCluster) -> None:
    declare(dead)

    with pytest.raises(DoneInPart, match="tmp is left on n1: its disks are on n1 alone") as done:
        evacuate(dead)

    assert "web" not in done.value.message
    taken = owners(dead)
    assert (taken["web1"], taken["web2"], taken["tmp"]) == ("n2", "n3", "n1")
    assert taken["none"] in ("n2", "n3")
    assert {vm.home for vm in dead.read("n2").vms.values()} == {"n1"}
    assert "web1" in dead.domains["n2"].defined and dead.domains["n2"].active == {}
    document = dead.read("n2")
    assert not any(map(document.claim_of, document.subjects()))


def test_what_may_be_lost_is_one_list_and_the_answer_has_the_order_of_starts(
    dead: FakeCluster,
) -> None:
    declare(dead)

    plan = evacuate(dead, dry_run=True).plan

    assert plan[0].startswith("n1 was last heard") and "is lost" in plan[0]
    assert [line for line in plan if not line.startswith(" ")][1:] == [
        "none is taken over by n2.",
        "tmp is left: its disks are on n1 alone.",
        "web2 is taken over by n3.",
        "web1 is taken over by n2.",
    ]
    assert any("last in step" in line for line in plan)


def test_a_stale_replica_is_left_with_the_word_that_takes_it(dead: FakeCluster) -> None:
    dead.hosts["n2"].observations._in_step["mcv-web1-1"] -= 100
    declare(dead)

    plan = evacuate(dead, dry_run=True).plan
    with pytest.raises(DoneInPart, match=r"web1 is left on n1: .* was last in step") as left:
        evacuate(dead)

    word = "mcv register web1 --node n2 --accept-stale"
    [line] = [line for line in plan if word in line]
    assert plan[plan.index(line) - 1].startswith("web1 is left: ")
    assert f"{word}." in left.value.message

    assert owners(dead)["web1"] == "n1" and owners(dead)["web2"] == "n3"


def test_a_silent_node_that_is_not_declared_dead_is_not_evacuated(dead: FakeCluster) -> None:
    before = dead.picture()

    with pytest.raises((Refused, PeerUnreachable)) as refused:
        evacuate(dead)

    assert "--confirm-dead" in refused.value.hint
    assert dead.picture() == before


def test_where_nothing_can_be_taken_over_nothing_is_changed(three: FakeCluster) -> None:
    make(three, "tmp", disks=["64MiB"], storage="file")
    three.agreements["n2"].declare(["n1"], id="d1", who="alice", why="dead", alive=list)
    before = three.picture()

    with pytest.raises(Refused, match="No VM of n1 can be taken over") as refused:
        evacuate(three)

    assert "tmp: its disks are on n1 alone" in str(refused.value.problems)
    assert three.picture() == before


def test_an_evacuation_said_again_goes_on(dead: FakeCluster) -> None:
    declare(dead)
    dead.domains["n3"].broken.add("web2")
    with pytest.raises(DoneInPart):
        evacuate(dead)
    dead.domains["n3"].broken.clear()

    with pytest.raises(Refused, match="No VM of n1 can be taken over"):
        evacuate(dead)
