"""What the kernel is told when a peer is away: the table of the design, row by row."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mcv.document.model import Cluster, encode
from mcv.drbd import handler, handler_lock
from mcv.errors import CallLost, McvError, NotFound, NotPermitted, PeerUnreachable
from tests.documents import after, disk, document, vm

BASE = document().with_vm(vm())
THEIRS = document().with_vm(vm(node="n2"))
AWAY = after(BASE, "node.offline", name="n2")
GONE = BASE.without_node("n2")
WAIT = after(BASE, "drbd.set", on_peer_loss="wait")
RESOURCE = "mcv-web1-1"


def silent(peer: str) -> dict[str, str]:
    raise PeerUnreachable(f"{peer} is silent.")


def says(disk_: str, role: str = "Secondary") -> handler.Outdate:
    return lambda peer: {"disk": disk_, "role": role}


def never(peer: str) -> dict[str, str]:
    raise AssertionError("nobody is to be asked")


@pytest.mark.parametrize(
    ("story", "documents", "outdate", "code"),
    [
        ("its owner outdates the peer's replica", [BASE], says("Outdated"), 4),
        ("its owner cannot reach the peer", [BASE], silent, 5),
        ("and the policy is to wait", [WAIT], silent, 1),
        ("the peer is offline", [AWAY], never, 7),
        ("the peer is no member", [GONE], never, 7),
        ("it belongs to the other node", [THEIRS], never, 1),
        ("only the settled document says that it is mine", [BASE, THEIRS], never, 1),
        ("only the proposal says that it is mine", [THEIRS, BASE], never, 1),
        ("only the proposal calls the peer offline", [BASE, AWAY], silent, 5),
        ("only the settled document calls it offline", [AWAY, BASE], silent, 5),
        ("both call it offline", [AWAY, AWAY], never, 7),
        ("the policy of the proposal counts", [BASE, WAIT], silent, 1),
        ("the peer is primary", [BASE], says("UpToDate", "Primary"), 1),
        ("the peer writes, though it is outdated", [BASE], says("Outdated", "Primary"), 1),
        ("the peer would not be outdated", [BASE], says("UpToDate"), 1),
        ("the peer is only consistent", [BASE], says("Consistent"), 1),
        ("the peer's replica is of no use", [BASE], says("Inconsistent"), 3),
        ("the peer has no disk", [BASE], says("Diskless"), 3),
        ("the peer does not know the resource", [BASE], says("Unconfigured"), 1),
    ],
)
def test_the_verdict(
    story: str, documents: list[Cluster], outdate: handler.Outdate, code: int
) -> None:
    assert handler.verdict("n1", RESOURCE, documents, outdate)[0] == code


def test_a_lost_answer_is_no_answer_and_documents_that_disagree_on_the_peer_refuse() -> None:
    def lose(peer: str) -> dict[str, str]:
        raise CallLost("n2 broke off.")

    other = document("n1", "n3").with_vm(vm(disks=(disk(places={"n1": "v", "n3": "v"}),)))

    assert handler.verdict("n1", RESOURCE, [BASE], lose)[0] == 5
    assert handler.verdict("n1", RESOURCE, [BASE, other], never)[0] == 1
    with pytest.raises(NotFound):
        handler.verdict("n1", "other", [BASE], never)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host's state directory, and its settings as the handler loads them."""
    from mcv import settings

    found = settings.Settings(
        hostname="n1",
        node="n1",
        address="10.0.0.1",
        drbd_address="",
        var=tmp_path,
        run=tmp_path / "run",
    )
    monkeypatch.setattr(settings, "load", lambda **_: found)
    monkeypatch.setenv("DRBD_RESOURCE", RESOURCE)
    found.state.mkdir()
    return found.state


def handle(kind: str, monkeypatch: pytest.MonkeyPatch, *state: Path) -> Any:
    monkeypatch.setattr("sys.argv", ["mcv-drbd-handler", kind, *map(str, state)])
    with pytest.raises(SystemExit) as ended:
        handler.main()
    return ended.value.code


def test_the_documents_are_read_from_disk_without_a_daemon(state: Path) -> None:
    (state / "config.json").write_text(encode(BASE))
    assert handler.read_documents(state) == [BASE]

    (state / "proposal.json").write_text(encode(AWAY))

    assert handler.read_documents(state) == [BASE, AWAY]


def test_a_proposal_that_is_settled_while_they_are_read_is_not_missed(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state / "config.json").write_text(encode(BASE))
    (state / "proposal.json").write_text(encode(THEIRS))
    read = Path.read_bytes

    def settle_after(path: Path) -> bytes:
        text = read(path)
        if (state / "proposal.json").exists():
            (state / "proposal.json").rename(state / "config.json")
        return text

    monkeypatch.setattr(Path, "read_bytes", settle_after)

    assert THEIRS in handler.read_documents(state)


def test_a_peer_that_is_offline_is_answered_for_without_the_wire(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state / "config.json").write_text(encode(AWAY))

    assert handle("fence-peer", monkeypatch) == 7
    assert not (state / "notes").exists()


@pytest.fixture
def of_renamed(state: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state directory of n1, whose host is called web since."""
    from mcv import settings

    found = settings.Settings(
        hostname="web", node="web", address="", drbd_address="", var=state.parent
    )
    monkeypatch.setattr(settings, "load", lambda **_: found)
    return state


def test_a_renamed_host_decides_by_the_documents_that_the_resource_file_names(
    of_renamed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cluster, code in ((AWAY, 7), (THEIRS, 1)):
        (of_renamed / "config.json").write_text(encode(cluster))
        assert handle("fence-peer", monkeypatch, of_renamed) == code

    assert handle("out-of-sync", monkeypatch, of_renamed) == 0
    assert [path.name for path in (of_renamed / "notes").iterdir()] == [
        f"{RESOURCE}.out-of-sync.json"
    ]


def test_a_renamed_host_refuses_where_an_old_resource_file_names_no_documents(
    of_renamed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (of_renamed / "config.json").write_text(encode(AWAY))

    assert handle("fence-peer", monkeypatch) == 1
    assert "holds the document of n1" in capsys.readouterr().err


def test_going_on_alone_is_noted_durably_before_the_kernel_is_told(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state / "config.json").write_text(encode(BASE))
    monkeypatch.setattr(handler, "verdict", lambda *_: (5, "n2 cannot be reached"))

    assert handle("fence-peer", monkeypatch) == 5

    note = json.loads((state / "notes" / f"{RESOURCE}.alone.json").read_text())
    assert note["why"] == "n2 cannot be reached" and note["since"]
    assert handle("unfence-peer", monkeypatch) == 0
    assert list((state / "notes").iterdir()) == []


@pytest.mark.parametrize("text", ["", "{}", encode(BASE)[:-9], encode(document())])
def test_a_document_that_cannot_be_read_or_does_not_know_the_resource_refuses(
    state: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (state / "config.json").write_text(text)

    assert handle("fence-peer", monkeypatch) == 1


def test_no_document_and_no_word_refuse(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert handle("fence-peer", monkeypatch) == 1
    assert handle("explode", monkeypatch) == 1
    monkeypatch.delenv("DRBD_RESOURCE")
    assert handle("out-of-sync", monkeypatch) == 1


@pytest.mark.parametrize("blocked", ["notes", "run/drbd"])
def test_neither_a_note_nor_a_lock_that_cannot_be_written_holds_the_verdict_up(
    state: Path, monkeypatch: pytest.MonkeyPatch, blocked: str
) -> None:
    (state / "config.json").write_text(encode(BASE))
    in_the_way = state / "notes" if blocked == "notes" else state.parent / blocked
    in_the_way.parent.mkdir(exist_ok=True)
    in_the_way.write_text("in the way")
    monkeypatch.setattr(handler, "verdict", lambda *_: (5, "n2 cannot be reached"))

    assert handle("fence-peer", monkeypatch) == 5


def test_a_handler_at_work_holds_the_lock_of_its_resource_beside_another(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state / "config.json").write_text(encode(BASE))
    directory = state.parent / "run" / "drbd"
    seen = []

    def judge(*_: object) -> tuple[int, str]:
        with handler_lock.held(directory, RESOURCE):
            seen.append(handler_lock.is_held(directory, RESOURCE))
        seen.append(handler_lock.is_held(directory, RESOURCE))
        return 4, "outdated"

    monkeypatch.setattr(handler, "verdict", judge)

    assert handle("fence-peer", monkeypatch) == 4
    assert seen == [True, True] and not handler_lock.is_held(directory, RESOURCE)


def test_what_a_verification_found_is_a_note_with_names_only(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert handle("out-of-sync", monkeypatch) == 0

    note = json.loads((state / "notes" / f"{RESOURCE}.out-of-sync.json").read_text())
    assert set(note) == {"when"}


def test_an_unexpected_error_of_the_wire_refuses(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state / "config.json").write_text(encode(replace(BASE)))

    def broken(*_: object) -> None:
        raise McvError("no key")

    monkeypatch.setattr("mcv.rpc.pki.load", broken)

    assert handle("fence-peer", monkeypatch) in (1, 5)


class SlowPeer:
    """A peer whose kernel notices the lost connection only after its own pings."""

    def __init__(self, notices_after: float) -> None:
        self.now = 0.0
        self._notices_after = notices_after

    def call(self, *_: Any) -> dict[str, str]:
        noticed = self.now >= self._notices_after
        return {"disk": "Outdated" if noticed else "UpToDate", "role": "Secondary"}

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("notices_after", "code"), [(13.5, 4), (1e9, 1)])
def test_a_peer_has_time_to_notice_the_loss_by_its_own_pings(
    state: Path, monkeypatch: pytest.MonkeyPatch, notices_after: float, code: int
) -> None:
    (state / "config.json").write_text(encode(BASE))
    peer = SlowPeer(notices_after)
    monkeypatch.setattr("mcv.rpc.pki.load", lambda *_: None)
    monkeypatch.setattr("mcv.rpc.peers.Peers", lambda *_, **__: peer)
    monkeypatch.setattr("mcv.drbd.handler.time.monotonic", lambda: peer.now)
    monkeypatch.setattr("mcv.drbd.handler.time.sleep", peer.sleep)

    assert handle("fence-peer", monkeypatch) == code
    assert peer.now < 25


class LatePeer(SlowPeer):
    """A peer that hears of the new owner only after a while."""

    def call(self, *call: Any) -> dict[str, str]:
        answer = super().call(*call)
        if answer["disk"] == "Outdated":
            return answer
        raise NotPermitted(f"{RESOURCE} is n2's to speak for, and not n1's.")


@pytest.mark.parametrize("document", [BASE, WAIT])
@pytest.mark.parametrize(("hears", "code"), [(True, 4), (False, 1)])
def test_a_peer_that_is_a_commit_behind_outdates_its_replica_once_it_knows_the_owner(
    state: Path, monkeypatch: pytest.MonkeyPatch, document: Cluster, hears: bool, code: int
) -> None:
    """It answers: so this node is not alone, and where it never hears the owner does not go on."""
    (state / "config.json").write_text(encode(document))
    peer = LatePeer(2.0 if hears else 1e9)
    monkeypatch.setattr("mcv.rpc.pki.load", lambda *_: None)
    monkeypatch.setattr("mcv.rpc.peers.Peers", lambda *_, **__: peer)
    monkeypatch.setattr("mcv.drbd.handler.time.monotonic", lambda: peer.now)
    monkeypatch.setattr("mcv.drbd.handler.time.sleep", peer.sleep)

    assert handle("fence-peer", monkeypatch) == code

    assert peer.now < 25 and not (state / "notes").exists()
