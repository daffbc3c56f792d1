"""A node is drained, evacuated, restored: its VMs go elsewhere, keep their home, and come back."""

from typing import Any

import pytest

from mcv.cluster import draining, members
from mcv.errors import Cancelled, DoneInPart, HypervisorFailed, McvError, Refused
from mcv.status import cluster as status
from mcv.status import vms
from mcv.vm import create, devices, live, migrate, power, register
from tests.fakes.cluster import FakeCluster


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "POLL", 0.01)
    monkeypatch.setattr(draining, "AGAIN", 0.01)
    monkeypatch.setattr(draining, "APART", 0.05)


@pytest.fixture
def busy(three: FakeCluster) -> FakeCluster:
    """On n1: web1 runs on n1 and n2, web2 is stopped on n1 and n3, tmp has no disk and runs."""
    make(three, "web1", nodes=["n1", "n2"], disks=["64MiB"])
    make(three, "web2", nodes=["n1", "n3"], disks=["64MiB"])
    make(three, "tmp")
    for name in ("web1", "tmp"):
        three.run("n1", power.start, name=name)
    return three


def make(cluster: FakeCluster, name: str, node: str = "n1", **options: Any) -> None:
    cluster.run(node, create.create, name=name, memory="64MiB", **options)


def drain(cluster: FakeCluster, **options: Any) -> Any:
    return cluster.run("n2", draining.drain, node="n1", **options)


def restore(cluster: FakeCluster) -> Any:
    return cluster.run("n2", draining.restore, node="n1")


def owners(cluster: FakeCluster) -> dict[str, str]:
    return {name: vm.node for name, vm in sorted(cluster.read("n2").vms.items())}


def running(cluster: FakeCluster) -> dict[str, str]:
    found = {}
    for node, door in cluster.domains.items():
        found.update(dict.fromkeys(door.active, node))
    return dict(sorted(found.items()))


def state(cluster: FakeCluster, node: str = "n1") -> tuple[str, bool, bool]:
    member = cluster.read("n2").nodes[node]
    return member.status, member.draining, member.maintenance


def is_idle(cluster: FakeCluster) -> bool:
    document = cluster.read("n2")
    return not any(map(document.claim_of, document.subjects())) and not any(
        list(host.journal.entries()) for host in cluster.hosts.values()
    )


def test_a_drained_node_is_empty_and_offline_and_its_guests_ran_all_the_while(
    busy: FakeCluster,
) -> None:
    answer = drain(busy)

    assert (answer.moved, answer.left) == (["tmp", "web1", "web2"], [])
    assert set(owners(busy).values()) <= {"n2", "n3"}
    assert (owners(busy)["web1"], owners(busy)["web2"]) == ("n2", "n3")
    assert running(busy) == {"tmp": owners(busy)["tmp"], "web1": "n2"}
    assert state(busy) == ("offline", True, True)
    assert {vm.home for vm in busy.read("n2").vms.values()} == {"n1"}
    assert busy.twice == [] and is_idle(busy)


def test_info_tells_of_a_drain_and_of_a_home(busy: FakeCluster) -> None:
    busy.domains["n1"].pause("web1")
    with pytest.raises(DoneInPart):
        drain(busy)

    told = busy.run("n2", status.info)
    assert [node.status for node in told.nodes] == ["draining", "online", "online"]
    assert told.attention[0].startswith("n1 is draining and takes no VMs; web1 did not leave it")

    busy.domains["n1"].resume("web1")
    drain(busy)
    told = busy.run("n2", status.info)
    assert [node.status for node in told.nodes] == ["maintenance", "online", "online"]
    assert not told.attention
    assert busy.run("n2", vms.info, name="web1").home == "n1"


def test_the_plan_says_where_each_vm_goes(busy: FakeCluster) -> None:
    before = busy.picture()

    plan = drain(busy, dry_run=True).plan

    assert plan[1:] == [
        "web1 goes from n1 to n2, live.",
        "web2 goes from n1 to n3.",
        "Then it is offline for maintenance.",
    ]
    assert busy.picture() == before


def test_a_restored_node_has_the_vms_whose_home_it_is(busy: FakeCluster) -> None:
    make(busy, "other", node="n2")
    drain(busy)

    answer = restore(busy)

    assert answer.moved == ["tmp", "web1", "web2"]
    assert owners(busy) == {"other": "n2", "tmp": "n1", "web1": "n1", "web2": "n1"}
    assert running(busy) == {"tmp": "n1", "web1": "n1"}
    assert state(busy) == ("online", False, False)
    assert busy.twice == [] and is_idle(busy)
    assert restore(busy).moved == []


def test_a_migration_changes_the_home_and_a_takeover_does_not(busy: FakeCluster) -> None:
    busy.run("n1", live.migrate, name="web1", to="n2")
    busy.run("n1", migrate.migrate, name="web2", to="n3")

    homes = {name: vm.home for name, vm in sorted(busy.read().vms.items())}
    assert homes == {"tmp": "n1", "web1": "n2", "web2": "n3"}

    busy.run("n3", migrate.migrate, name="web2", to="n1")
    sight = busy.hosts["n3"].observations
    sight.see_in_step("mcv-web2-1")
    sight.hear("n1")
    busy.down.add("n1")
    busy.agreements["n2"].declare(["n1"], id="d1", who="alice", why="dead", alive=list)
    busy.look("n3")
    busy.run("n3", register.register, name="web2")
    assert (owners(busy)["web2"], busy.read("n2").vm("web2").home) == ("n3", "n1")


def test_a_vm_that_cannot_leave_stays_and_the_node_stays_draining(busy: FakeCluster) -> None:
    busy.domains["n1"].phase = fail

    with pytest.raises(DoneInPart) as left:
        drain(busy)

    assert "web1 did not go to n2" in left.value.message and "broke off" in left.value.message
    assert "tmp did not go" in left.value.message
    assert "n1 still owns tmp, web1" in left.value.message
    assert owners(busy) == {"tmp": "n1", "web1": "n1", "web2": "n3"}
    assert state(busy) == ("online", True, False) and is_idle(busy)

    busy.domains["n1"].phase = lambda phase: None
    assert drain(busy).moved == ["tmp", "web1"]
    assert state(busy) == ("offline", True, True)


def fail(phase: str) -> None:
    raise HypervisorFailed("Could not migrate it: the way broke off.")


def test_a_paused_vm_is_named_before_anything_moves(busy: FakeCluster) -> None:
    busy.domains["n1"].pause("web1")

    plan = drain(busy, dry_run=True).plan
    assert plan[1].startswith("web1 cannot leave n1: web1 is paused")
    assert "mcv resume web1" in plan[2]

    with pytest.raises(DoneInPart, match="web1 cannot leave n1: web1 is paused") as left:
        drain(busy)
    assert "Let it go on with: mcv resume web1" in left.value.message
    assert left.value.hint == "Go on with: mcv node drain n1"
    [job] = [job for job in busy.hosts["n2"].jobs.listed() if job["state"] == "failed"]
    told = [bar["what"] for bar in job["progress"]]
    assert told[0].startswith("waiting for the others to leave; web1 cannot leave n1")
    assert state(busy) == ("online", True, False)


def test_what_cannot_move_while_it_runs_is_shut_down_where_that_is_allowed(
    busy: FakeCluster,
) -> None:
    busy.domains["n2"].free = 0

    with pytest.raises(DoneInPart, match="n2 has 0B of memory free"):
        drain(busy)
    drain(busy, shutdown=True)

    assert owners(busy)["web1"] == "n2" and running(busy)["web1"] == "n2"
    assert state(busy) == ("offline", True, True)


def test_a_drained_node_takes_no_vms_and_starts_none(busy: FakeCluster) -> None:
    busy.domains["n1"].pause("web1")
    with pytest.raises(DoneInPart):
        drain(busy)
    for node in busy.hosts:
        busy.look(node)
    busy.domains["n1"].stop("web1")

    refused = (
        lambda: make(busy, "new"),
        lambda: make(busy, "new", disks=["64MiB"], nodes=["n1", "n2"]),
        lambda: make(busy, "new", node="n2", disks=["64MiB"], nodes=["n1", "n2"]),
        lambda: busy.run("n3", migrate.migrate, name="web2", to="n1"),
        lambda: busy.run("n1", power.start, name="web1"),
    )
    for attempt in refused:
        with pytest.raises(Refused, match="n1 is drained") as said:
            attempt()
        assert "mcv node restore n1" in said.value.hint


def test_a_drain_ends_between_two_vms_when_it_is_cancelled(busy: FakeCluster) -> None:
    def cancel(caller: str, node: str, operation: str) -> None:
        if operation == "node.give_away":
            for job in busy.hosts["n2"].jobs._jobs.values():
                job.cancelled.set()

    busy.spy = cancel
    with pytest.raises(DoneInPart, match="cancelled"):
        drain(busy)

    assert sorted(owners(busy).values()) == ["n1", "n1", owners(busy)["tmp"]]
    assert state(busy) == ("online", True, False) and is_idle(busy)


def test_a_node_that_waits_takes_its_vms_away_as_soon_as_they_can_leave(
    busy: FakeCluster,
) -> None:
    busy.domains["n1"].pause("web1")
    tries: list[str] = []

    def resume(caller: str, node: str, operation: str) -> None:
        if operation == "node.give_away":
            tries.append(operation)
            if len(tries) == 4:
                busy.domains["n1"].resume("web1")

    busy.spy = resume
    drain(busy, wait=True)

    assert state(busy) == ("offline", True, True) and running(busy)["web1"] == "n2"


def test_the_last_node_and_a_silent_node_are_not_drained(three: FakeCluster) -> None:
    make(three, "web1", nodes=["n1", "n2"], disks=["64MiB"])
    three.down.add("n1")
    with pytest.raises(Refused):
        drain(three)
    three.down.clear()
    for node in ("n2", "n3"):
        three.run(node, members.offline, names=[node])
    with pytest.raises(Refused, match="n2 is offline for maintenance already"):
        three.run("n1", draining.drain, node="n2")
    for verb in (draining.drain, draining.evacuate):
        with pytest.raises(Refused, match="n1 is the last node online") as refused:
            three.run("n1", verb, node="n1")
        assert "First: mcv node restore n2" in refused.value.hint


def test_a_node_that_died_while_it_was_drained_is_not_called_drained(
    busy: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)
    busy.domains["n1"].pause("web1")
    with pytest.raises(DoneInPart):
        drain(busy)
    busy.down.add("n1")
    busy.run("n2", members.offline, names=["n1"], confirm_dead=True)

    with pytest.raises(Refused, match="n1 is offline") as refused:
        drain(busy)

    assert "mcv evacuate n1" in refused.value.hint


def test_a_node_that_is_drained_comes_back_without_its_vms_by_online(busy: FakeCluster) -> None:
    drain(busy)
    busy.look("n1")

    busy.run("n1", members.online, name="n1")

    assert state(busy) == ("online", False, False)
    assert owners(busy)["web1"] == "n2"


def test_a_vm_goes_home_when_the_replica_there_is_in_step(busy: FakeCluster) -> None:
    drain(busy)
    busy.drbd["n2"].disconnect("mcv-web1-1")

    with pytest.raises(DoneInPart, match="web1 stays on n2: its replicas are not connected"):
        restore(busy)
    assert owners(busy)["web2"] == "n1" and owners(busy)["web1"] == "n2"

    busy.drbd["n2"].connect("mcv-web1-1")
    busy.drbd["n1"].connect("mcv-web1-1")
    assert restore(busy).moved == ["web1"]


def test_an_evacuated_node_is_empty_and_open(busy: FakeCluster) -> None:
    answer = busy.run("n2", draining.evacuate, node="n1")

    assert answer.moved == ["tmp", "web1", "web2"]
    assert state(busy) == ("online", False, False)
    assert "n1" not in owners(busy).values()
    make(busy, "new")
    assert restore(busy).moved == ["tmp", "web1", "web2"]


def test_an_evacuation_in_which_nothing_can_move_changes_nothing(three: FakeCluster) -> None:
    make(three, "web1", nodes=["n1", "n2"], disks=["64MiB"])
    make(three, "web2", nodes=["n1", "n2"], disks=["64MiB"])
    for name in ("web1", "web2"):
        three.run("n1", power.start, name=name)
        three.domains["n1"].pause(name)
    before = three.picture()

    with pytest.raises(Refused, match="No VM can leave n1") as refused:
        three.run("n2", draining.evacuate, node="n1")

    assert [message.split()[0] for message, _ in refused.value.problems] == ["web1", "web2"]
    assert three.picture() == before


def test_a_device_holds_its_vm_and_what_takes_it_away_is_told_before(busy: FakeCluster) -> None:
    busy.run("n1", devices.add, name="web1", type="usb", address="1d6b:0002")
    word = "mcv device remove web1 usb 1d6b:0002"

    plan = drain(busy, dry_run=True).plan
    assert "web1 is tied to n1" in plan[1] and word in plan[2]
    with pytest.raises(DoneInPart, match=f"web1 cannot leave n1: .*{word}"):
        drain(busy)

    assert owners(busy) == {"tmp": "n2", "web1": "n1", "web2": "n3"}
    assert state(busy) == ("online", True, False)


@pytest.mark.parametrize("error", [Cancelled("stopped."), McvError("No way.")])
def test_an_error_names_the_vm_that_stays(error: McvError) -> None:
    assert draining._named("web1", "n1", error).message.startswith("web1 stays on n1: ")
