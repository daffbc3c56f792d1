"""What lets a start or a promotion through: the lease, the newest document, the gate itself."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcv.errors import HypervisorFailed, Refused
from mcv.etcd.keys import ClusterKeys
from mcv.ha.gate import Gate
from mcv.ha.start_env import NodeStartEnv
from mcv.system import lease
from mcv.system.lease import LeaseFile
from mcv.system.start_gate import StartGate
from tests.fakes.etcd import FakeEtcd, Reached

KEYS = ClusterKeys("abc")


class World:
    """An armed node n1, its run directory, and the etcd of its cluster."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.etcd = FakeEtcd()
        self.here = "new"
        self.before: Callable[[], None] = lambda: None  # a request to etcd
        self.is_armed = True
        self.put_head("new")
        self.grant(60)
        self.gate = Gate("n1", self.arms, run)
        self.done: list[str] = []

    def arms(self) -> NodeStartEnv | None:
        if not self.is_armed:
            return None
        etcd = Reached(self.etcd, lambda request: self.before(), lambda request: None)
        return NodeStartEnv("n1", self.run, etcd, "abc", lambda: self.here)

    def put_head(self, hash_: str) -> None:
        from mcv.etcd.requests import put

        self.etcd.change([], [put(KEYS.head, b'{"hash": "%s"}' % hash_.encode())])

    def grant(self, seconds: float, boot: str = "") -> None:
        lease.write(LeaseFile(boot or lease.boot_id(), lease.now() + seconds), self.run)

    def begin(self) -> None:
        self.gate.begin("promote mcv-web1-1", lambda: self.done.append("promoted"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_with_a_lease_and_the_newest_document_it_is_done_under_the_gate(world: World) -> None:
    alone: list[bool] = []

    def act() -> int:
        alone.append(StartGate(world.run).close())
        return 7

    answer = world.gate.begin("promote r", act)

    assert (answer, alone) == (7, [False])
    assert StartGate(world.run).close()


@pytest.mark.parametrize(
    ("story", "hit", "why"),
    [
        ("the lease is over", lambda world: world.grant(-1), "no valid lease"),
        ("the lease is another boot's", lambda world: world.grant(60, "b"), "no valid lease"),
        ("there is no lease", lambda world: lease.remove(world.run), "no valid lease"),
        ("it makes no sense", lambda world: (world.run / "lease").write_text("{"), "no valid"),
        ("etcd has no majority", lambda world: setattr(world.etcd, "down", True), "etcd does not"),
        ("the document is old", lambda world: world.put_head("newer"), "not the newest"),
        ("etcd has no head", lambda world: world.etcd.keys.clear(), "not the newest"),
        (
            "the lease ends while etcd is asked",
            lambda world: setattr(world, "before", functools.partial(world.grant, -1)),
            "no valid lease",
        ),
    ],
)
def test_without_a_right_nothing_begins(
    world: World, story: str, hit: Callable[[World], Any], why: str
) -> None:
    hit(world)

    with pytest.raises(Refused, match=f"^n1 may not promote mcv-web1-1 now: .*{why}"):
        world.begin()

    assert world.done == []
    assert StartGate(world.run).close()


def test_without_a_lease_the_gate_is_not_even_tried(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is refused again and again would keep mcv-lease from ever holding it alone."""
    world.grant(-1)
    tried: list[float] = []
    monkeypatch.setattr(StartGate, "together", lambda _, timeout: tried.append(timeout))

    with pytest.raises(Refused):
        world.begin()

    assert tried == []


@pytest.mark.parametrize("is_armed", [True, False])
def test_while_mcv_lease_holds_the_gate_nothing_begins(
    world: World, is_armed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcv.ha.gate.ENTER", 0.1)
    monkeypatch.setattr("mcv.ha.start_env.ENTER", 0.1)
    world.is_armed = is_armed
    held = StartGate(world.run)
    assert held.close()

    with pytest.raises(Refused, match="no valid lease"):
        world.begin()

    assert world.done == []
    held.open()
    world.begin()
    assert world.done == ["promoted"]


def test_an_unarmed_node_asks_nobody_and_holds_the_gate_all_the_same(world: World) -> None:
    world.is_armed, world.etcd.down = False, True
    lease.remove(world.run)
    alone: list[bool] = []

    world.gate.begin("promote r", lambda: alone.append(StartGate(world.run).close()))

    assert alone == [False]


def test_an_unarmed_node_begins_though_no_gate_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("no directory")
    gate = Gate("n1", lambda: None, tmp_path / "run")

    assert gate.begin("promote r", lambda: 7) == 7
    assert gate.start("web1", lambda: 7, lambda error: True) == 7


def test_a_start_is_marked_until_libvirt_has_answered(world: World) -> None:
    marks: list[tuple[str, ...]] = []

    def start() -> None:
        marks.append(StartGate(world.run).marks())
        assert world.gate.left() == []  # its own daemon is at it

    world.gate.start("web1", start, lambda error: True)

    assert marks == [("web1",)]
    assert StartGate(world.run).marks() == ()


@pytest.mark.parametrize(("is_answer", "left"), [(True, []), (False, ["web1"])])
def test_a_marker_stays_where_the_outcome_is_open(
    world: World, is_answer: bool, left: list[str]
) -> None:
    def fail() -> None:
        raise HypervisorFailed("Cannot recv data.")

    with pytest.raises(HypervisorFailed):
        world.gate.start("web1", fail, lambda error: is_answer)

    assert world.gate.left() == left
    world.gate.unmark("web1")
    assert world.gate.left() == []


def test_what_is_refused_leaves_no_marker(world: World) -> None:
    world.grant(-1)

    with pytest.raises(Refused, match=r"^n1 may not start web1 now"):
        world.gate.start("web1", lambda: None, lambda error: True)

    assert StartGate(world.run).marks() == ()


def test_an_armed_start_that_cannot_be_marked_is_refused(world: World) -> None:
    (world.run / "starting").write_text("no directory")

    with pytest.raises(Refused, match="cannot be marked"):
        world.gate.start("web1", lambda: world.done.append("started"), lambda error: True)

    assert world.done == []


def test_an_armed_node_whose_gate_cannot_be_made_begins_nothing(world: World) -> None:
    (world.run / "start-gate").mkdir()

    with pytest.raises(Refused, match="no valid lease"):
        world.begin()

    assert world.done == []
