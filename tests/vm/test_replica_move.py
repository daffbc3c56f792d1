"""A replica moves to another node while its VM runs, from a node that lives, is away, or dies."""

from typing import Any

import pytest

from mcv.cluster import members
from mcv.drbd import left_replicas, resync, roles
from mcv.errors import Failed, McvError, Refused
from mcv.host import Host
from mcv.recovery import claims
from mcv.rules.finding import Severity
from mcv.status import vms
from mcv.vm import create, disk_move, power, register
from tests.fakes.cluster import FakeCluster

RESOURCE = "mcv-web1-1"
NODES = ("n1", "n2", "n3")


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resync, "PATIENCE", 0.05)
    monkeypatch.setattr(resync, "POLL", 0.01)
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)


def make(three: FakeCluster, running: bool = True) -> None:
    options = {"memory": "64MiB", "disks": ["64MiB"], "storage": "drbd", "nodes": ["n1", "n2"]}
    three.run("n1", create.create, name="web1", start=running, **options)


def move(three: FakeCluster, source: str = "n2", to: str = "n3", **options: Any) -> Any:
    return three.run("n1", disk_move.move, name="web1", disk=1, source=source, to=to, **options)


def lose(three: FakeCluster, node: str) -> None:
    three.down.add(node)
    three.run("n1", members.offline, names=[node], confirm_dead=True)


def back(three: FakeCluster) -> None:
    """n2 hears what was decided without it, and is online again."""
    three.look("n2")
    members.come_back(three.hosts["n2"])
    for node in NODES:
        three.look(node)


def there(three: FakeCluster) -> dict[str, tuple[bool, bool, bool]]:
    """Of each node: whether it has the volume, the resource, the file."""
    return {
        node: (
            RESOURCE in three.lvm[node].made,
            RESOURCE in three.drbd[node].statuses(),
            (three.hosts[node].settings.drbd_directory / f"{RESOURCE}.res").exists(),
        )
        for node in NODES
    }


ALL, NOTHING = (True, True, True), (False, False, False)


@pytest.mark.parametrize("running", [True, False])
def test_a_replica_moves_and_the_guest_runs_on(three: FakeCluster, running: bool) -> None:
    make(three, running)
    before = three.read().vm("web1")

    move(three)

    vm = three.read().vm("web1")
    (disk,) = vm.replicated
    assert sorted(disk.places) == sorted(vm.nodes) == ["n1", "n3"]
    assert (disk.former, disk.former_port) == ({}, 0)
    assert disk.port != before.replicated[0].port and disk.minor == before.replicated[0].minor
    assert vm.incarnation == before.incarnation and disk.verification.result == "clean"
    assert there(three) == {"n1": ALL, "n2": NOTHING, "n3": ALL}
    assert three.drbd["n1"].statuses()[RESOURCE].both_up_to_date
    assert three.hosts["n1"].domains.is_active("web1") == running
    assert not list(three.hosts["n3"].settings.notes.glob("*.copy.json"))


def test_a_replica_of_a_dead_node_moves_and_is_let_go_when_the_node_is_back(
    three: FakeCluster,
) -> None:
    make(three)
    lose(three, "n2")

    move(three)

    assert sorted(three.read().vm("web1").nodes) == ["n1", "n3"]
    assert there(three) == {"n1": ALL, "n2": ALL, "n3": ALL}
    assert three.drbd["n1"].statuses()[RESOURCE].both_up_to_date

    three.down.clear()
    back(three)
    assert three.drbd["n2"].statuses()[RESOURCE].disk != "Outdated"
    left_replicas.look_after(three.hosts["n2"])

    assert there(three)["n2"] == (True, False, False)
    assert three.drbd["n2"].kept[RESOURCE] == "Outdated"
    assert three.drbd["n1"].statuses()[RESOURCE].both_up_to_date


def test_a_replica_that_left_is_outdated_after_a_reboot_too(three: FakeCluster) -> None:
    make(three)
    lose(three, "n2")
    move(three)
    three.down.clear()
    three.drbd["n2"].down(RESOURCE)
    three.reboot("n2")
    back(three)

    left_replicas.look_after(three.hosts["n2"])

    assert three.drbd["n2"].kept[RESOURCE] == "Outdated"
    assert there(three)["n2"] == (True, False, False)


def test_replicas_that_are_here_are_left_alone(three: FakeCluster) -> None:
    make(three)

    for node in NODES:
        left_replicas.look_after(three.hosts[node])

    assert there(three) == {"n1": ALL, "n2": ALL, "n3": NOTHING}


@pytest.mark.parametrize(
    "broken", ["create_metadata", "new-current-uuid", "verify", "adjust", "disconnect"]
)
@pytest.mark.parametrize("running", [True, False])
def test_what_fails_brings_the_old_replica_back(
    three: FakeCluster, broken: str, running: bool
) -> None:
    make(three, running)
    before = three.read().vm("web1").replicated
    where = "n3" if broken == "create_metadata" else "n1"
    three.drbd[where].broken.add(broken)
    if broken == "adjust":
        three.spy = lambda _, node, operation: (
            three.drbd["n1"].broken.discard("adjust") if operation == "replica.leave" else None
        )

    with pytest.raises(Failed):
        move(three)

    three.drbd[where].broken.clear()
    (disk,) = three.read().vm("web1").replicated
    assert (disk.places, disk.port, disk.former) == (before[0].places, before[0].port, {})
    assert there(three) == {"n1": ALL, "n2": ALL, "n3": NOTHING}
    assert three.drbd["n1"].statuses()[RESOURCE].both_up_to_date
    assert three.hosts["n1"].domains.is_active("web1") == running
    assert three.read().vm("web1").claim is None


def test_a_difference_that_the_verification_finds_brings_the_old_replica_back(
    three: FakeCluster,
) -> None:
    make(three)
    three.spy = lambda _, node, operation: (
        three.world.differs.update({RESOURCE: 4096}) if operation == "replica.check" else None
    )

    with pytest.raises(Failed, match="out-of-sync"):
        move(three)

    assert there(three) == {"n1": ALL, "n2": ALL, "n3": NOTHING}
    assert sorted(three.read().vm("web1").nodes) == ["n1", "n2"]


def test_a_replica_that_comes_back_gets_every_block(three: FakeCluster) -> None:
    make(three)
    three.drbd["n1"].broken.add("verify")

    with pytest.raises(Failed):
        move(three)

    # Its metadata was new when it met the owner, whose bitmap tells of the new peer alone.
    assert three.drbd["n2"].created == [RESOURCE, RESOURCE]


def test_a_former_peer_that_is_away_is_to_get_every_block(three: FakeCluster) -> None:
    make(three)
    lose(three, "n2")
    three.drbd["n1"].broken.add("verify")

    with pytest.raises(Failed):
        move(three)

    assert three.world.invalidated == [RESOURCE]
    assert sorted(three.read().vm("web1").nodes) == ["n1", "n2"]


def test_the_owner_begins_a_generation_that_the_old_replica_does_not_have(
    three: FakeCluster,
) -> None:
    make(three)
    old = three.drbd["n2"].generations[RESOURCE].current
    lose(three, "n2")

    move(three)

    assert three.drbd["n1"].generations[RESOURCE].current != old


def test_the_risk_is_told_before_and_meanwhile(three: FakeCluster) -> None:
    make(three)
    seen: list[str] = []

    def look(caller: str, node: str, operation: str) -> None:
        if operation == "drbd.await_in_step":
            seen.extend(
                finding.message
                for finding in vms.info(three.hosts["n1"], "web1").findings
                if finding.severity is Severity.WARNING
            )

    three.spy = look
    plan = move(three, dry_run=True).plan
    assert plan[-1].startswith("Until the new replica is UpToDate and verified, disk 1 of web1")
    move(three)

    assert "web1 has one replica, on n1: the one on n2 is replaced by one on n3." in seen


@pytest.mark.parametrize(
    ("source", "to", "said", "way"),
    [
        ("n1", "n3", "n1 owns web1", "mcv migrate --online web1"),
        ("n3", "n2", "n3 holds no replica of disk 1", ""),
        ("n2", "n1", "n1 holds a replica of disk 1", ""),
        ("n2", "n4", "n4", ""),
    ],
)
def test_what_cannot_move_is_refused(
    three: FakeCluster, source: str, to: str, said: str, way: str
) -> None:
    make(three)
    before = three.picture()

    with pytest.raises(Refused, match=said) as refused:
        move(three, source, to)

    assert way in refused.value.hint and three.picture() == before


def test_replicas_that_are_apart_are_joined_first(three: FakeCluster) -> None:
    make(three)
    three.drbd["n1"].disconnect(RESOURCE)

    with pytest.raises(Refused, match="The replicas of web1 are not connected"):
        move(three)


def test_every_problem_is_told_at_once(three: FakeCluster) -> None:
    make(three)
    three.drbd["n1"].disconnect(RESOURCE)
    three.lvm["n3"].made["mcv-web1-1"] = 4 * 1024**2

    with pytest.raises(Refused) as refused:
        move(three)

    said = " ".join(message for message, _ in refused.value.problems)
    assert "not connected" in said and "There is mcv-web1-1 in vg0 on n3 already" in said


def test_a_node_that_restarts_in_the_middle_takes_nothing_up(three: FakeCluster) -> None:
    make(three)
    three.spy = lambda _, node, operation: (
        roles.bring_up(three.hosts["n2"]) if operation == "replica.join" else None
    )

    move(three)

    assert there(three) == {"n1": ALL, "n2": NOTHING, "n3": ALL}


def test_a_vm_whose_replica_moved_starts_and_stops(three: FakeCluster) -> None:
    make(three, running=False)
    move(three)

    three.run("n1", power.start, name="web1")
    three.run("n1", power.stop, name="web1")


def test_a_vm_is_stopped_while_its_new_replica_is_waited_for(three: FakeCluster) -> None:
    make(three)
    stopped: list[str] = []

    def stop(host: Host, *_: object) -> None:
        power.stop(host, name="web1")
        stopped.append("web1")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resync, "wait_in_step", stop)
        move(three)

    assert stopped == ["web1"] and not three.hosts["n1"].domains.is_active("web1")
    assert there(three) == {"n1": ALL, "n2": NOTHING, "n3": ALL}


def test_the_old_replica_can_be_taken_when_the_owner_is_lost_in_the_middle(
    three: FakeCluster,
) -> None:
    make(three)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resync, "wait_in_step", lambda *_: three.down.add("n1"))
        with pytest.raises(McvError):
            move(three)
    three.domains["n1"].power_off()
    three.run("n2", members.offline, names=["n1"], confirm_dead=True)

    three.run("n2", claims.clear_lock, name="web1")
    with pytest.raises(Refused, match="Outdated"):
        three.run("n2", register.register, name="web1")
    three.run("n2", register.register, name="web1", accept_stale=True)

    vm = three.read("n2").vm("web1")
    assert (vm.node, sorted(vm.nodes), vm.claim) == ("n2", ["n1", "n2"], None)
    assert not vm.replicated[0].former and there(three)["n3"] == NOTHING
    three.run("n2", power.start, name="web1")
