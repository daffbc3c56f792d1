"""What the kernel is told on one of two armed nodes: guests that are managed wait for the shot."""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mcv.cluster import arming, ha_entries
from mcv.document import history
from mcv.document.model import Cluster
from mcv.drbd import armed_handler, asking, fence_peer, handler, handler_file, lost_peers
from mcv.drbd.asking import Outdated
from mcv.errors import PeerUnreachable
from mcv.ha import handler_facts
from mcv.host import Host
from mcv.network import verbs as network
from mcv.vm import create
from tests.fakes.fenced import Fenced
from tests.fakes.fenced import two_fenced as two_fenced
from tests.fakes.fixtures import short_timeouts as short_timeouts

RESOURCE = "mcv-web1-1"
PROC = " 100: cs:{} ro:{}/Unknown ds:UpToDate/DUnknown C r---d-\n"


class Pair:
    """n1, which owns web1 and its resource, and has lost n2; both are armed."""

    def __init__(self, fenced: Fenced, patch: pytest.MonkeyPatch) -> None:
        self.cluster = fenced.cluster
        self.answer: Outdated | None = None  # None: nothing listens there
        self.asked = 0
        self.proc = fenced.cluster.directory / "proc"
        self.see("WFConnection", "Primary")
        patch.setattr(asking, "outdated", self._outdated)
        patch.setattr(armed_handler, "_listens", lambda *_: self.answer is not None)
        patch.setattr(armed_handler, "PATIENCE", 1.0)
        patch.setattr(armed_handler, "BRIEF", 0.4)
        patch.setattr(armed_handler, "PROC", self.proc)
        patch.setattr("mcv.ha.pair_loss.PAUSE", 0.05)
        patch.setenv("DRBD_RESOURCE", RESOURCE)
        patch.setenv("DRBD_MINOR", "100")

    def _outdated(self, me: str, state: Path, resource: str, peer: str) -> Outdated:
        self.asked += 1
        assert (me, resource, peer) == ("n1", RESOURCE, "n2") and self.answer is not None
        return self.answer

    @property
    def host(self) -> Host:
        return self.cluster.hosts["n1"]

    @property
    def state(self) -> Path:
        return self.host.settings.state

    def see(self, connection: str, role: str) -> None:
        self.proc.write_text(PROC.format(connection, role))

    def declare(self) -> None:
        """n2 is dead, as the document says, and mcvd has told the handlers."""
        self.cluster.down.add("n2")
        self.host.consensus.declare(["n2"], id="c", who="a", why="w", alive=list, evidence="off")
        handler_file.write(self.host)

    def propose(self, document: Cluster) -> None:
        (self.state / "proposal.json").write_text(history.on_disk(document))

    def handle(self) -> int:
        sys.argv[:] = ["mcv-drbd-handler", "fence-peer", str(self.state)]
        with pytest.raises(SystemExit) as ended:
            fence_peer.main()
        assert isinstance(ended.value.code, int)
        return ended.value.code


@pytest.fixture
def pair(two_fenced: Fenced, monkeypatch: pytest.MonkeyPatch) -> Pair:
    monkeypatch.setattr(sys, "argv", [])
    cluster = two_fenced.cluster
    cluster.run("n1", network.create, name="lan", bridge="br-lan")
    params: dict[str, Any] = {"memory": "64MiB", "disks": ["64MiB"], "networks": ["lan"]}
    cluster.run("n1", create.create, name="web1", **params)
    two_fenced.add()
    for node in ("n1", "n2"):
        two_fenced.set(node, f"pdu:{node[1]}")
        two_fenced.tested(node, f"pdu:{node[1]}")
    cluster.run("n1", ha_entries.add, name="web1")
    two_fenced.hear()
    cluster.run("n1", arming.arm)
    for name in cluster.hosts:
        handler_file.write(cluster.hosts[name])
    return Pair(two_fenced, monkeypatch)


def goes_on(pair: Pair) -> None:
    pair.host.managing.alone = frozenset({"n2"})
    handler_file.write(pair.host)


def given_away(pair: Pair) -> str:
    """The document as it would be if web1 were n2's."""
    document = pair.host.read()
    vm = replace(document.vm("web1"), node="n2")
    return history.on_disk(document.with_vm(vm))


def theirs(pair: Pair) -> None:
    (pair.state / "config.json").write_text(given_away(pair))


def answers(answer: Outdated) -> Callable[[Pair], None]:
    return lambda pair: setattr(pair, "answer", answer)


def on_peer_loss(pair: Pair) -> None:
    pair.host.update("drbd.set", "x", on_peer_loss="continue")


@pytest.mark.parametrize(
    ("story", "hit", "code"),
    [
        ("the peer is silent", lambda pair: None, 1),
        ("the peer is silent, and the policy is to go on", on_peer_loss, 1),
        ("the peer is declared offline", Pair.declare, 7),
        ("the peer outdates its replica", answers(Outdated.YES), 4),
        ("the peer's replica is written there", answers(Outdated.NO), 1),
        ("the peer has not noticed yet", answers(Outdated.LATER), 1),
        ("it could not be switched off, and guests go on", goes_on, 5),
        ("it belongs to the other node", theirs, 1),
        ("the document is torn", lambda p: (p.state / "config.json").write_text("{"), 1),
    ],
)
def test_the_verdict(pair: Pair, story: str, hit: Callable[[Pair], Any], code: int) -> None:
    hit(pair)

    assert pair.handle() == code
    assert (pair.state / "notes" / f"{RESOURCE}.alone.json").exists() == (code == 5)


def test_it_waits_for_the_shot_and_the_declaration(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(armed_handler, "PATIENCE", 20.0)
    threading.Timer(0.3, pair.declare).start()

    assert pair.handle() == 7


def test_a_declaration_that_is_not_committed_lets_nothing_go_on(pair: Pair) -> None:
    before = (pair.state / "config.json").read_text()
    pair.declare()
    declared = pair.host.read()
    (pair.state / "config.json").write_text(before)
    assert pair.handle() == 1

    pair.propose(declared)
    assert pair.handle() == 1


def test_a_proposal_that_gives_the_vm_away_lets_nothing_go_on(pair: Pair) -> None:
    (pair.state / "proposal.json").write_text(given_away(pair))
    pair.answer = Outdated.YES

    assert pair.handle() == 1 and pair.asked == 0


def test_a_peer_that_is_back_ends_it(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(armed_handler, "PATIENCE", 60.0)
    threading.Timer(0.3, pair.see, ("SyncSource", "Primary")).start()
    began = time.monotonic()

    assert pair.handle() == 1
    assert time.monotonic() - began < 10


def test_what_nobody_manages_follows_the_policy(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "main", lambda: sys.exit(42))
    assert pair.handle() == 1

    pair.host.update("ha.change", "x", name="web1", wanted="ignored")
    handler_file.write(pair.host)

    assert pair.handle() == 42


def test_without_the_small_file_what_is_managed_waits_all_the_same(pair: Pair) -> None:
    (pair.state / handler_facts.FILE).unlink()
    documents = handler.read_documents(pair.state)
    asked: list[str] = []

    def silent(peer: str) -> dict[str, str]:
        asked.append(peer)
        raise PeerUnreachable("no answer", "")

    code, _ = handler.verdict("n1", RESOURCE, documents, silent)

    assert code == handler.REFUSE and asked == ["n2"]


def test_mcvd_has_the_kernel_ask_again_once_more_is_known(pair: Pair) -> None:
    def loss() -> lost_peers.Loss:
        found = lost_peers._loss(pair.host, "web1", 1)
        assert found is not None
        return found

    waiting = loss()
    goes_on(pair)
    alone = loss()
    pair.declare()

    assert waiting.waits and not alone.waits and loss().is_declared
    assert waiting.key != alone.key


def test_unarmed_there_is_no_small_file(pair: Pair) -> None:
    pair.cluster.run("n1", arming.disarm)
    handler_file.write(pair.host)

    assert not (pair.state / handler_facts.FILE).exists()
