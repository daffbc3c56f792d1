"""What mcvd does by itself about a lost peer: it has the handler asked again, and it connects."""

import contextlib
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from mcv.cluster import members
from mcv.document.subject import Subject
from mcv.drbd import enable, handler_lock, lost_peers, notes
from mcv.drbd.lost_peers import Step, next_step
from mcv.drivers.drbd_states import ConnectionState
from mcv.drivers.drbd_status import Generations, Status
from mcv.status import cluster as cluster_info
from mcv.status import vms
from mcv.system.pauses import Pauses
from mcv.vm import create, power
from tests.documents import after
from tests.fakes.cluster import FakeCluster
from tests.fakes.drbd import FakeDrbd

RESOURCE = "mcv-web1-1"
LOOKING = Status(resource=RESOURCE, connection=ConnectionState.CONNECTING, suspended="fencing")
ALONE = replace(LOOKING, connection=ConnectionState.STANDALONE)


@pytest.mark.parametrize(
    ("story", "status", "declared", "answers", "first", "waits", "step"),
    [
        ("the peer was declared dead", LOOKING, True, False, True, True, Step.ASK_HANDLER),
        ("it is silent, and the policy waits", LOOKING, False, False, True, True, Step.WAIT),
        ("it stays silent all the same", LOOKING, False, False, False, True, Step.WAIT),
        ("and the policy goes on alone", LOOKING, False, False, True, False, Step.ASK_HANDLER),
        ("it answers: the kernel looks for it", LOOKING, False, True, True, True, Step.WAIT),
        ("and does not find it", LOOKING, False, True, False, True, Step.ASK_HANDLER),
        ("it answers and is not looked for", ALONE, False, True, True, True, Step.CONNECT),
        ("nor found again", ALONE, False, True, False, False, Step.CONNECT),
    ],
)
def test_what_helps_suspended_io(
    story: str,
    status: Status,
    declared: bool,
    answers: bool,
    first: bool,
    waits: bool,
    step: Step,
) -> None:
    assert next_step(status, declared, answers, first, waits) is step


@pytest.fixture
def web1(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """The VM web1 runs on n1, and the I/O of its disk is suspended since n2 went away."""
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)
    monkeypatch.setattr(lost_peers, "VERDICT", 0.0)
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])
    cluster.run("n1", power.start, name="web1")
    cluster.run("n1", enable.set_, values={"on-peer-loss": "wait"})
    cluster.drbd["n1"].suspended.add(RESOURCE)
    cluster.down.add("n2")
    cluster.hosts["n1"].lost_peers = Pauses(lambda: clock(cluster))
    return cluster


CLOCK: dict[int, float] = {}


def clock(cluster: FakeCluster) -> float:
    return CLOCK.get(id(cluster), 0.0)


def pass_time(cluster: FakeCluster, seconds: float) -> None:
    CLOCK[id(cluster)] = clock(cluster) + seconds


def look(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One round of n1's loop; what it has DRBD do."""
    told: list[str] = []
    with monkeypatch.context() as patch:
        for verb in ("ask_handler_again", "connect", "disconnect", "promote", "demote"):
            patch.setattr(cluster.drbd["n1"], verb, told_of(cluster.drbd["n1"], verb, told))
        lost_peers.look_after(cluster.hosts["n1"])
    return told


def told_of(drbd: FakeDrbd, verb: str, told: list[str]) -> Callable[[str], None]:
    real = getattr(drbd, verb)

    def do(resource: str) -> None:
        told.append(verb)
        real(resource)

    return do


def declare(cluster: FakeCluster) -> None:
    cluster.run("n1", members.offline, names=["n2"], confirm_dead=True)


def comes_back(cluster: FakeCluster) -> None:
    cluster.down.discard("n2")
    cluster.hosts["n1"].observations.hear("n2")


def is_suspended(cluster: FakeCluster) -> bool:
    return seen(cluster).waits_for_fencing


def seen(cluster: FakeCluster, node: str = "n1") -> Status:
    status = cluster.drbd[node].status(RESOURCE)
    assert status is not None
    return status


def marks(cluster: FakeCluster) -> list[str]:
    return [path.name for path in cluster.hosts["n1"].settings.handlers.glob("*.loose")]


# Suspended I/O


def test_a_peer_that_was_declared_dead_is_told_to_the_kernel(
    web1: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look(web1, monkeypatch) == [] and is_suspended(web1)

    declare(web1)

    assert look(web1, monkeypatch) == ["ask_handler_again", "connect"]
    assert not is_suspended(web1) and seen(web1).connection == "Connecting"
    assert look(web1, monkeypatch) == [] and marks(web1) == []


def test_a_handler_without_a_verdict_is_asked_again_after_growing_pauses(
    web1: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    web1.drbd["n1"].verdict = 1
    declare(web1)
    asked = []

    for _ in range(10):
        asked.append("ask_handler_again" in look(web1, monkeypatch))
        pass_time(web1, 10)

    assert asked == [True, True, False, True, False, False, False, True, False, False]


@pytest.mark.parametrize("obstacle", ["claim", "proposal", "owner", "handler", "lock", "leaving"])
def test_nothing_is_asked_while_somebody_else_may_be_at_it(
    web1: FakeCluster, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    declare(web1)
    host = web1.hosts["n1"]
    committed = host.read()
    theirs = committed.with_vm(replace(committed.vm("web1"), node="n2"))
    with contextlib.ExitStack() as stack:
        if obstacle == "claim":
            claimed = after(committed, "vm.claim", name="web1", why="resync")
            monkeypatch.setattr(type(host), "both", lambda _: [claimed])
        elif obstacle == "proposal":
            monkeypatch.setattr(type(host), "both", lambda _: [committed, theirs])
        elif obstacle == "owner":
            monkeypatch.setattr(type(host), "both", lambda _: [theirs, committed])
        elif obstacle == "handler":
            stack.enter_context(handler_lock.held(host.settings.handlers, RESOURCE))
        elif obstacle == "lock":
            stack.enter_context(host.hold(Subject.vm("web1"), "a step"))
        else:
            host.is_leaving = True

        assert look(web1, monkeypatch) == [] and is_suspended(web1)

    monkeypatch.undo()
    host.is_leaving = False
    monkeypatch.setattr(lost_peers, "VERDICT", 0.0)
    assert look(web1, monkeypatch) == ["ask_handler_again", "connect"]


def test_a_peer_that_answers_again_is_waited_for_and_then_outdated(
    web1: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    web1.drbd["n2"].standalone.add(RESOURCE)  # DRBD's own way stays cut
    comes_back(web1)

    assert look(web1, monkeypatch) == []
    pass_time(web1, 11)
    assert look(web1, monkeypatch) == ["ask_handler_again", "connect"]
    assert not is_suspended(web1)


def test_a_peer_that_answers_again_is_connected_where_nothing_looks_for_it(
    web1: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    web1.drbd["n1"].standalone.add(RESOURCE)
    comes_back(web1)

    assert look(web1, monkeypatch) == ["connect"]
    assert seen(web1).connected


class Killed(BaseException):
    """The daemon's end, wherever it stands."""


def test_a_daemon_that_is_killed_while_the_handler_is_asked_connects_afterwards(
    web1: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    web1.down.clear()
    web1.run("n1", enable.set_, values={"on-peer-loss": "continue"})
    web1.down.add("n2")

    def kill(resource: str) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(web1.drbd["n1"], "connect", kill)
        with pytest.raises(Killed):
            lost_peers.look_after(web1.hosts["n1"])
    assert seen(web1).is_standalone and not is_suspended(web1)

    web1.boot("n1")

    assert look(web1, monkeypatch) == ["connect"]
    assert look(web1, monkeypatch) == [] and marks(web1) == []


def test_what_is_suspended_comes_first_in_list_and_info(web1: FakeCluster) -> None:
    notes.write(web1.hosts["n1"].settings.notes, RESOURCE, notes.OUT_OF_SYNC, when="now")
    shown = vms.list_(web1.hosts["n1"])[0]

    assert shown.state == "running"
    said = str(shown.attention)
    assert said.startswith("I/O is suspended: web1 on n1 waits until the state of n2 is known")
    assert "mcv node offline n2 --confirm-dead" in said
    assert said in cluster_info.info(web1.hosts["n1"]).attention

    declare(web1)

    said = str(vms.list_(web1.hosts["n1"])[0].attention)
    assert said.startswith("I/O is suspended: web1 on n1") and "--confirm-dead" not in said


# Lost connections


@pytest.fixture
def survivor(web1: FakeCluster) -> FakeCluster:
    """n1 runs web1 and is StandAlone; its I/O is not suspended; n2 is cut off."""
    web1.drbd["n1"].suspended.clear()
    web1.drbd["n1"].standalone.add(RESOURCE)
    return web1


def test_a_survivor_connects_when_the_old_owner_is_primary_no_more(
    survivor: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(survivor)
    comes_back(survivor)
    survivor.world.replicas[RESOURCE]["n2"].role = "Primary"
    assert look(survivor, monkeypatch) == []
    survivor.world.replicas[RESOURCE]["n2"].role = "Secondary"
    assert look(survivor, monkeypatch) == []
    pass_time(survivor, 11)

    assert look(survivor, monkeypatch) == ["connect"]
    assert seen(survivor).connected and seen(survivor, "n2").connected


def test_two_primaries_are_remembered_after_the_old_owner_is_online_again(
    survivor: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    comes_back(survivor)
    survivor.world.replicas[RESOURCE]["n2"].role = "Primary"
    assert look(survivor, monkeypatch) == []
    survivor.world.replicas[RESOURCE]["n2"].role = "Secondary"
    pass_time(survivor, 11)

    assert look(survivor, monkeypatch) == ["connect"]


def test_an_old_owner_that_was_primary_beside_the_new_connects_when_it_is_no_more(
    survivor: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    comes_back(survivor)
    survivor.drbd["n1"].standalone.clear()
    drbd, host = survivor.drbd["n2"], survivor.hosts["n2"]
    drbd.standalone.add(RESOURCE)
    host.observations.hear("n1")
    lost_peers.look_after(host)
    assert seen(survivor, "n2").is_standalone  # disconnected by hand, for all that is known
    survivor.world.replicas[RESOURCE]["n2"].role = "Primary"
    host.lost_peers = Pauses()
    lost_peers.look_after(host)
    assert seen(survivor, "n2").is_standalone
    survivor.world.replicas[RESOURCE]["n2"].role = "Secondary"
    drbd.generations[RESOURCE] = Generations(current=200, bitmap=40)
    survivor.drbd["n1"].generations[RESOURCE] = Generations(current=100, bitmap=40)
    lost_peers.look_after(host)
    assert seen(survivor, "n2").is_standalone  # a split brain
    drbd.generations[RESOURCE] = Generations(current=40, bitmap=0)
    host.lost_peers = Pauses()

    lost_peers.look_after(host)

    assert seen(survivor, "n2").connected and seen(survivor).connected


def test_what_was_disconnected_by_hand_stays_so(
    survivor: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    comes_back(survivor)

    for _ in range(3):
        assert look(survivor, monkeypatch) == []
        pass_time(survivor, 1000)

    assert marks(survivor) == []


@pytest.mark.parametrize("story", ["split brain", "newer there"])
def test_replicas_that_would_lose_something_are_left_to_an_operator(
    survivor: FakeCluster, monkeypatch: pytest.MonkeyPatch, story: str
) -> None:
    declare(survivor)
    comes_back(survivor)
    here, there = survivor.drbd["n1"].generations, survivor.drbd["n2"].generations
    there[RESOURCE] = Generations(current=100, bitmap=40)
    here[RESOURCE] = Generations(current=200 if story == "split brain" else 40, bitmap=40)

    assert look(survivor, monkeypatch) == []


@pytest.mark.parametrize("name", ["mcv-gone-1", RESOURCE])
def test_marks_of_what_is_gone_or_looks_for_its_peer_are_dropped(
    web1: FakeCluster, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    web1.drbd["n1"].suspended.clear()
    lost_peers.mark(web1.hosts["n1"], name)

    look(web1, monkeypatch)

    assert marks(web1) == []


def test_pauses_grow_to_five_minutes_and_begin_anew() -> None:
    now = [0.0]
    tries = Pauses(lambda: now[0])
    lengths = []
    for _ in range(8):
        tries.begin("a")
        began = now[0]
        while not tries.is_due("a"):
            now[0] += 1
        lengths.append(now[0] - began)

    assert lengths == [10, 20, 40, 80, 160, 300, 300, 300]
    tries.begin("a")
    tries.keep(lambda name: name != "a")
    assert tries.is_due("a") and tries.is_first("a")
