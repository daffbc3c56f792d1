"""What the kernel is told on an armed node: by the small file, the lease, and what etcd orders."""

import contextlib
import fcntl
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcv.drbd import armed_handler, asking, fence_peer
from mcv.drbd.asking import Outdated
from mcv.errors import McvError
from mcv.etcd.keys import ClusterKeys
from mcv.etcd.requests import delete, put
from mcv.ha import handler_facts
from mcv.ha.env import Answer, Txn, Unknown
from mcv.ha.etcd_txn import ClusterTxn
from mcv.ha.handler_facts import HandlerFacts, Resource
from mcv.ha.plain_etcd import PlainEtcd
from mcv.ha.values import Held, Taken, decode_mark
from mcv.system import lease
from mcv.system.lease import LeaseFile
from tests.fakes.etcd import FakeEtcd

ROOT = Path(__file__).parents[2]
KEYS = ClusterKeys("abc")
RESOURCE = "mcv-web1-1"
PROC = """\
version: 8.4.11 (api:1/proto:86-101)
 99: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----
100: cs:{} ro:{}/Unknown ds:UpToDate/DUnknown C r---d-
"""


class World:
    """The armed node n1, owner of a resource whose peer n2 is lost."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.etcd = FakeEtcd()
        self.before: Callable[[Txn], None] = lambda txn: None
        self.asked: list[str] = []
        self.answer: Outdated | None = None  # None: nothing listens there
        self.facts = HandlerFacts(
            node="n1",
            is_armed=True,
            is_online=True,
            waits=False,
            head="new",
            prefix=KEYS.prefix.decode(),
            certificate="",
            key="",
            run=str(directory / "run"),
            port=8420,
            addresses={"n1": "10.0.0.1", "n2": "10.0.0.2"},
            resources={RESOURCE: Resource("n1", "n2", False)},
        )
        self.write()
        self.put_head("new")
        self.hold(lease.boot_id())
        self.grant(60)
        self.proc = directory / "drbd"
        self.see("WFConnection", "Primary")
        patch.setattr(PlainEtcd, "txn", lambda _, txn: self._txn(txn))
        patch.setattr(asking, "outdated", self._outdated)
        patch.setattr(armed_handler, "_listens", self._listens)
        patch.setattr(armed_handler, "PATIENCE", 1.0)
        patch.setattr(armed_handler, "BRIEF", 0.4)
        patch.setattr(armed_handler, "SECOND", 0.4)
        patch.setattr(armed_handler, "PROC", self.proc)
        patch.setenv("DRBD_RESOURCE", RESOURCE)
        patch.setenv("DRBD_MINOR", "100")

    def _txn(self, txn: Txn) -> Answer:
        self.before(txn)
        txns = ClusterTxn("abc")
        asked = txns.request(txn)
        try:
            return txns.answer(self.etcd.change(asked.compare, asked.success, asked.failure))
        except McvError as error:
            raise Unknown(error.message) from error

    def _listens(self, address: tuple[str, int], meanwhile: Callable[[], None]) -> bool:
        assert address == ("10.0.0.2", 8420)
        return self.answer is not None

    def _outdated(self, me: str, state: Path, resource: str, peer: str) -> Outdated:
        self.asked.append(peer)
        assert self.answer is not None
        return self.answer

    def see(self, connection: str, role: str) -> None:
        self.proc.write_text(PROC.format(connection, role))

    def write(self, **changed: Any) -> None:
        self.facts = replace(self.facts, **changed)
        (self.directory / handler_facts.FILE).write_text(handler_facts.text_of(self.facts))

    def put_head(self, hash_: str) -> None:
        self.etcd.change([], [put(KEYS.head, json.dumps({"hash": hash_}).encode())])

    def hold(self, boot: str, sequence: int = 1) -> None:
        held = Held(boot, sequence, 12, 8, 1, True)
        self.etcd.change([], [put(KEYS.lease("n1"), held.encode().encode())])

    def take(self) -> None:
        taken = Taken("n3", "lease").encode()
        self.etcd.change([], [put(KEYS.lease("n1"), taken.encode())])

    def grant(self, seconds: float) -> None:
        file = LeaseFile(lease.boot_id(), lease.now() + seconds)
        lease.write(file, Path(self.facts.run))

    def handle(self) -> int:
        sys.argv[:] = ["mcv-drbd-handler", "fence-peer", str(self.directory)]
        with pytest.raises(SystemExit) as ended:
            fence_peer.main()
        assert isinstance(ended.value.code, int)
        return ended.value.code

    @property
    def mark(self) -> str:
        """The node whose replica is marked; "" where none is."""
        found = self.etcd.read_locally(KEYS.stale(RESOURCE)).kvs
        return decode_mark(found[0].value.decode()).node if found else ""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(sys, "argv", [])
    return World(tmp_path, monkeypatch)


def offline(world: World) -> None:
    world.write(resources={RESOURCE: Resource("n1", "n2", True)})


def wait(world: World) -> None:
    world.write(waits=True)


def theirs(world: World) -> None:
    world.write(resources={RESOURCE: Resource("n2", "n2", False)})


def answers(answer: Outdated) -> Callable[[World], None]:
    return lambda world: setattr(world, "answer", answer)


def no_quorum(world: World) -> None:
    world.etcd.down = True


@pytest.mark.parametrize(
    ("story", "hit", "code", "mark"),
    [
        ("the peer is silent", lambda world: None, 5, "n2"),
        ("the peer is offline in the document", offline, 7, "n2"),
        ("the peer outdates its replica", answers(Outdated.YES), 4, ""),
        ("the peer's daemon answers nothing", answers(Outdated.SILENT), 5, "n2"),
        ("the peer's replica is not in use", answers(Outdated.GONE), 5, "n2"),
        ("the peer's replica is written there", answers(Outdated.NO), 1, ""),
        ("the peer may outdate it soon", answers(Outdated.LATER), 1, ""),
        ("the policy is to wait", wait, 1, ""),
        ("it belongs to the other node", theirs, 1, ""),
        ("it is not in the file", lambda world: world.write(resources={}), 1, ""),
        ("this node is offline", lambda world: world.write(is_online=False), 1, ""),
        ("there is no valid lease", lambda world: world.grant(-1), 1, ""),
        ("there is no lease in etcd", lambda world: world.etcd.keys.pop(KEYS.lease("n1")), 1, ""),
        ("the lease is another boot's", lambda world: world.hold("b"), 1, ""),
        ("the lease was taken", lambda world: world.take(), 1, ""),
        ("etcd has no majority", no_quorum, 1, ""),
        ("the file is of an old document", lambda world: world.put_head("newer"), 1, ""),
        ("what etcd has is no head", lambda world: world.etcd.keys.pop(KEYS.head), 1, ""),
    ],
)
def test_the_verdict(
    world: World, story: str, hit: Callable[[World], Any], code: int, mark: str
) -> None:
    hit(world)

    assert world.handle() == code
    assert world.mark == mark
    is_noted = (world.directory / "notes" / f"{RESOURCE}.alone.json").exists()
    assert is_noted == (code == 5)


def test_a_peer_that_is_offline_is_not_asked(world: World) -> None:
    world.answer = Outdated.YES
    offline(world)

    assert world.handle() == 7
    assert world.asked == []


def test_a_peer_that_cannot_outdate_it_in_time_is_gone_on_without(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(armed_handler, "NOTICE", 0.5)
    world.answer = Outdated.LATER

    assert world.handle() == 5
    assert world.mark == "n2"
    assert len(world.asked) > 1


def test_a_taking_between_the_look_and_the_mark_leaves_the_io_suspended(world: World) -> None:
    def take_before_the_mark(txn: Txn) -> None:
        if txn.puts:
            world.take()

    world.before = take_before_the_mark

    assert world.handle() == 1
    assert world.mark == ""


def test_a_renewal_in_between_costs_another_try(world: World) -> None:
    tried: list[Txn] = []

    def renew_before_the_mark(txn: Txn) -> None:
        if txn.puts and not tried:
            tried.append(txn)
            world.hold(lease.boot_id(), 2)

    world.before = renew_before_the_mark

    assert world.handle() == 5
    assert world.mark == "n2"


def test_a_mark_whose_answer_was_lost_is_written_again(world: World) -> None:
    world.etcd.faults = ["", "lost after"]

    assert world.handle() == 5
    assert world.mark == "n2"


def test_it_does_not_go_on_where_the_lease_ended_while_it_marked(world: World) -> None:
    world.before = lambda txn: world.grant(-1) if txn.puts else None

    assert world.handle() == 1
    assert world.mark == "n2"  # the peer's replica may be behind, for all that is known


def test_it_waits_for_the_lease_for_a_quorum_and_for_the_document(world: World) -> None:
    world.grant(-1)
    world.etcd.down = True
    later = [
        threading.Timer(0.2, world.grant, (60,)),
        threading.Timer(0.4, setattr, (world.etcd, "down", False)),
    ]
    for timer in later:
        timer.start()

    assert world.handle() == 5


def test_a_declaration_meanwhile_counts(world: World) -> None:
    wait(world)
    threading.Timer(0.3, offline, (world,)).start()

    assert world.handle() == 7


def test_a_peer_that_is_back_ends_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(armed_handler, "PATIENCE", 60.0)
    wait(world)
    threading.Timer(0.3, world.see, ("SyncSource", "Primary")).start()
    began = time.monotonic()

    assert world.handle() == 1
    assert time.monotonic() - began < 10


def test_a_promotion_is_not_waited_with_it_holds_the_gate(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(armed_handler, "PATIENCE", 60.0)
    world.see("WFConnection", "Secondary")
    world.grant(-1)
    began = time.monotonic()

    assert world.handle() == 1
    assert time.monotonic() - began < 10


def test_of_two_at_once_the_second_gives_no_verdict(world: World) -> None:
    directory = Path(world.facts.run) / "drbd"
    directory.mkdir()
    with (directory / f"{RESOURCE}.handler").open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        assert world.handle() == 1
        assert world.mark == ""

        threading.Timer(0.2, fcntl.flock, (first, fcntl.LOCK_UN)).start()
        assert world.handle() == 5


def test_a_torn_file_refuses(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("{", "[]", '{"voters": [], "resources": {}, "node": "n1"}'):
        (world.directory / handler_facts.FILE).write_text(text)

        assert world.handle() == 1
    assert world.mark == ""


def test_an_etcd_that_talks_nonsense_refuses(world: World) -> None:
    world.etcd.change([], [put(KEYS.lease("n1"), b"{}")])
    assert world.handle() == 1

    world.etcd.change([], [delete(KEYS.lease("n1"))])
    assert world.handle() == 1


@pytest.mark.parametrize(
    ("disk", "role", "means"),
    [
        ("Outdated", "Secondary", Outdated.YES),
        ("Inconsistent", "Secondary", Outdated.YES),
        ("UpToDate", "Primary", Outdated.NO),
        ("Outdated", "Primary", Outdated.NO),
        ("UpToDate", "Secondary", Outdated.LATER),
        ("Attaching", "Secondary", Outdated.LATER),
        ("Consistent", "Secondary", Outdated.LATER),
        # Attached again it is UpToDate by its metadata.
        ("Diskless", "Secondary", Outdated.GONE),
        ("Unconfigured", "Unknown", Outdated.GONE),
    ],
)
def test_what_a_peer_s_answer_means(disk: str, role: str, means: Outdated) -> None:
    assert asking.judged(disk, role) is means


def test_nothing_but_the_standard_library_is_imported_before_it_decides() -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import mcv.drbd.fence_peer; "
    told = subprocess.run(
        # Without the packages of this environment.
        [sys.executable, "-S", "-c", code + "print(*sys.modules)", str(ROOT)],
        capture_output=True,
        text=True,
        check=True,
    )

    modules = set(told.stdout.split())
    # Too slow in a node whose I/O stands still.
    assert not modules & {"http.client", "email", "asyncio", "subprocess", "logging"}
    mine = {name for name in modules if name.startswith("mcv")}
    assert len(mine) < 20, sorted(mine)


def test_a_peer_that_accepts_listens_and_nobody_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(armed_handler, "PROBE", 0.1)
    done: list[str] = []

    def listens(host: str, port: int) -> bool:
        return armed_handler._listens((host, port), lambda: done.append(host))

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listens("127.0.0.1", port)
    assert not listens("127.0.0.1", port)
    assert not listens("no address", port)
    assert done == []
    # A queue that is full answers nobody, as a dead host does.
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = server.getsockname()[1]
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        assert not listens("127.0.0.1", port)
    assert done == ["127.0.0.1"]
