"""Taking a dead node of an armed cluster: lease, document and marks, compared at once."""

import threading
from collections.abc import Callable, Sequence

import pytest

from mcv.cluster import draining, members, taking
from mcv.drbd import notes, stale_marks
from mcv.errors import Busy, DoneInPart, McvError, PeerUnreachable, Refused
from mcv.etcd.answers import Outcome
from mcv.etcd.requests import Compare, Operation, delete, put
from mcv.ha import peer_loss, values
from mcv.ha.at_once import at_once
from mcv.ha.start_env import NodeEnv
from mcv.ha.values import Held, Mark, Taken
from mcv.vm import power, register
from tests.fakes.armed import add_vm, keys, orders, renew
from tests.fakes.armed import armed as armed
from tests.fakes.cluster import FakeCluster


@pytest.fixture
def dead(armed: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """n1 is dead: web1 was on n1 and n2, web2 on n1 and n3. No host answers pings."""
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)
    monkeypatch.setattr("mcv.ha.timing.wait", lambda *_: 0.3)
    monkeypatch.setattr(taking, "PAUSE", 0.05)
    add_vm(armed, "web2", "n1", "n3")
    armed.down.add("n1")
    return armed


def declare(cluster: FakeCluster) -> None:
    cluster.run("n2", members.offline, names=["n1"], confirm_dead=True)


def lease(cluster: FakeCluster, node: str = "n1") -> Held | Taken | None:
    found = cluster.etcd.read_locally(keys(cluster).lease(node)).kvs
    return values.decode(found[0].value.decode()) if found else None


def mark(cluster: FakeCluster, resource: str, node: str) -> None:
    told = Mark(node, "n1", "2026-11-29T10:00:00Z", f"{node} is not to be reached")
    key = keys(cluster).stale(resource)
    cluster.etcd.change([], [put(key, told.encode().encode())])


def owners(cluster: FakeCluster) -> dict[str, str]:
    return {name: vm.node for name, vm in sorted(cluster.read("n2").vms.items())}


def test_the_lease_is_taken_and_the_node_is_offline_by_evidence(dead: FakeCluster) -> None:
    revision = renew(dead, "n1", sequence=7)
    before = dead.read("n2").epoch.number

    declare(dead)

    document = dead.read("n2")
    node = document.node("n1")
    assert lease(dead) == Taken("n2", "word")
    assert (node.status, document.epoch.number) == ("offline", before + 1)
    assert node.evidence is not None
    assert (node.evidence.kind, node.evidence.by, node.evidence.lease) == ("word", "n2", revision)
    assert document.change.name == "node.taken"


def test_a_node_whose_lease_moves_is_not_dead(dead: FakeCluster) -> None:
    threading.Timer(0.15, renew, (dead, "n1", 2)).start()

    with pytest.raises(Refused, match="n1 renews its lease, so it is not dead"):
        declare(dead)

    assert dead.read("n2").node("n1").status == "online"
    assert isinstance(lease(dead), Held)


def before_the_change(dead: FakeCluster, act: Callable[[], object]) -> None:
    """Do something right before the transaction that takes the lease, once."""
    change, done = dead.etcd.change, list[str]()

    def changed(
        compares: Sequence[Compare],
        operations: Sequence[Operation],
        otherwise: Sequence[Operation] = (),
    ) -> Outcome:
        written = [each.request_put.key for each in operations if each.request_put]
        if keys(dead).lease("n1") in written and not done:
            done.append("once")
            act()
        return change(compares, operations, otherwise)

    dead.etcd.change = changed  # type: ignore[method-assign]


def test_a_renewal_at_the_last_moment_refuses_it(dead: FakeCluster) -> None:
    before_the_change(dead, lambda: renew(dead, "n1", 2))

    with pytest.raises(Refused, match="depends on has changed"):
        declare(dead)

    assert dead.read("n2").node("n1").status == "online"
    assert isinstance(lease(dead), Held)


def test_another_change_at_the_last_moment_does_not(dead: FakeCluster) -> None:
    before_the_change(dead, lambda: dead.hosts["n3"].update("barrier", "something else"))

    declare(dead)

    assert dead.read("n2").node("n1").status == "offline"
    assert isinstance(lease(dead), Taken)


@pytest.mark.parametrize("fault", ["lost before", "lost after"])
def test_an_answer_that_is_lost_takes_it_once(dead: FakeCluster, fault: str) -> None:
    before_the_change(dead, lambda: setattr(dead.etcd, "faults", [fault]))
    before = dead.read("n2").epoch.number

    declare(dead)

    assert isinstance(lease(dead), Taken)
    assert dead.read("n2").epoch.number == before + 1


def test_without_a_majority_nobody_is_taken(dead: FakeCluster) -> None:
    dead.down.add("n3")

    with pytest.raises(PeerUnreachable):
        declare(dead)

    assert dead.read("n2").node("n1").status == "online"


def test_a_node_that_gave_its_lease_back_is_taken_at_once_and_gets_none_by_itself(
    dead: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcv.ha.timing.wait", lambda *_: 1e9)
    dead.etcd.change([], [delete(keys(dead).lease("n1"))])

    declare(dead)

    assert isinstance(lease(dead), Taken)


def test_a_host_that_answers_after_all_is_not_taken(
    dead: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    def lives_at_the_second_look(host: object, name: str) -> bool:
        looks.append(name)
        return len(looks) > 1

    monkeypatch.setattr(members, "is_alive", lives_at_the_second_look)

    with pytest.raises(Refused, match="n1 answers now"):
        declare(dead)

    assert isinstance(lease(dead), Held)


def test_who_was_taken_marks_nothing_more(dead: FakeCluster) -> None:
    declare(dead)
    host = dead.hosts["n1"]
    env = NodeEnv("n1", host.settings.run, dead.etcd, keys(dead).id)
    told = Mark("n2", "n1", why="n2 is not to be reached")
    head = dead.hosts["n2"].consensus.committed()[1]

    assert not at_once(peer_loss.mark_behind(env, "mcv-web1-1", told, head))


# The VMs


def evacuate(cluster: FakeCluster) -> object:
    return cluster.run("n2", draining.evacuate, node="n1")


def test_one_change_takes_all_vms_and_they_start(dead: FakeCluster) -> None:
    declare(dead)
    evacuate(dead)

    document = dead.read("n2")
    assert owners(dead) == {"web1": "n2", "web2": "n3"}
    assert {vm.home for vm in document.vms.values()} == {"n1"}
    made = [each.change.name for each in dead.hosts["n2"].consensus.generations()]
    assert made.count("vm.take_all") == 1 and "vm.assign" not in made[: made.index("node.taken")]
    assert "web1" in dead.domains["n2"].defined and "web2" in dead.domains["n3"].defined
    dead.run("n2", power.start, name="web1")
    assert dead.domains["n2"].state("web1") == "running"


def test_how_long_ago_replicas_were_in_step_says_nothing_where_marks_do(dead: FakeCluster) -> None:
    """No host has seen anything: unarmed, that refuses."""
    declare(dead)

    dead.run("n3", register.register, name="web2")

    assert owners(dead)["web2"] == "n3"


def test_a_vm_whose_replica_is_marked_is_left_and_needs_a_word(dead: FakeCluster) -> None:
    mark(dead, "mcv-web1-1", "n2")
    mark(dead, "mcv-web2-1", "n1")  # its owner went on with the disk of n3
    declare(dead)

    with pytest.raises(DoneInPart, match=r"web1 is left on n1: The newest data .*") as told:
        evacuate(dead)

    assert "2026-11-29T10:00:00Z" in told.value.message
    assert owners(dead) == {"web1": "n1", "web2": "n3"}
    with pytest.raises(Refused, match=r"The newest data of .*web1.* is on n1.*n1 says"):
        dead.run("n2", register.register, name="web1")
    dead.run("n2", register.register, name="web1", accept_stale=True)
    assert owners(dead)["web1"] == "n2"


def test_a_mark_that_cannot_be_read_blocks_too(dead: FakeCluster) -> None:
    dead.etcd.change([], [put(keys(dead).stale("mcv-web1-1"), b"nonsense")])
    declare(dead)

    with pytest.raises(Refused, match="cannot be read"):
        dead.run("n2", register.register, name="web1")


def test_a_replica_that_is_noted_here_blocks_behind_either_door(dead: FakeCluster) -> None:
    directory = dead.hosts["n2"].settings.notes
    notes.write(directory, "mcv-web1-1", notes.BEHIND, since="2026-11-29T10:00:00Z", why="w")
    declare(dead)

    with pytest.raises(Refused, match="has been behind since 2026-11-29T10:00:00Z"):
        dead.run("n2", register.register, name="web1")


def test_a_mark_that_is_written_before_the_change_refuses_all_of_it(
    dead: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(dead)
    read_at = stale_marks.read_at

    def mark_after(host: object) -> object:
        found = read_at(host)  # type: ignore[arg-type]
        mark(dead, "mcv-other-1", "n3")
        return found

    monkeypatch.setattr(stale_marks, "read_at", mark_after)
    with pytest.raises(McvError, match="depends on has changed"):
        evacuate(dead)

    assert owners(dead) == {"web1": "n1", "web2": "n1"}
    monkeypatch.undo()
    evacuate(dead)
    assert owners(dead) == {"web1": "n2", "web2": "n3"}


# Coming back


@pytest.fixture
def returned(dead: FakeCluster) -> FakeCluster:
    """n1 was taken, and is back, its mcv-lease told to begin."""
    declare(dead)
    dead.domains["n1"].power_off()
    dead.down.clear()
    dead.hosts["n1"].lease.arm(orders(dead, "n1"))
    dead.look("n1")
    return dead


def test_a_node_that_was_taken_is_online_with_its_new_lease(returned: FakeCluster) -> None:
    members.come_back(returned.hosts["n1"])

    held = lease(returned)
    assert isinstance(held, Held)
    assert (held.sequence, held.validity, held.watchdog) == (0, 12, 8)
    node = returned.read("n1").node("n1")
    assert (node.status, node.evidence) == ("online", None)


def test_not_while_mcv_lease_ends_what_is_left(returned: FakeCluster) -> None:
    returned.hosts["n1"].lease.is_gate_closed = False  # type: ignore[attr-defined]

    with pytest.raises(Busy):
        members.come_back(returned.hosts["n1"])

    assert lease(returned) == Taken("n2", "word")
    assert returned.read("n2").node("n1").status == "offline"
