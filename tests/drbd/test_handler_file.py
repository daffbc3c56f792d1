"""The small file that the handler decides by: it says what the document does, and which one."""

import threading
from pathlib import Path

import pytest

from mcv.drbd import handler, handler_file
from mcv.drbd.armed_handler import NodeHandlerEnv
from mcv.ha import handler_facts
from mcv.ha.at_once import at_once
from mcv.ha.env import Facts
from mcv.ha.handler_facts import HandlerFacts
from tests.fakes.armed import armed as armed
from tests.fakes.cluster import FakeCluster
from tests.fakes.fixtures import three as three
from tests.fakes.fixtures import units as units

RESOURCE = "mcv-web1-1"


def written(cluster: FakeCluster, node: str) -> HandlerFacts | None:
    host = cluster.hosts[node]
    handler_file.write(host)
    return handler_facts.read(host.settings.state)


def facts(cluster: FakeCluster, node: str) -> Facts:
    found = written(cluster, node)
    assert found is not None
    env = NodeHandlerEnv(cluster.hosts[node].settings.state, found)
    known = at_once(env.facts(RESOURCE))
    assert known is not None
    return known


def test_it_says_what_the_document_says(armed: FakeCluster) -> None:
    found = written(armed, "n2")

    assert found is not None
    assert (found.node, found.is_armed, found.is_online, found.waits) == ("n2", True, True, False)
    assert [voter.name for voter in found.voters] == ["n2", "n1", "n3"]
    assert (found.certificate, found.key) == ("/pki/certificate.pem", "/pki/key.pem")
    assert found.head == armed.hosts["n2"].consensus.committed()[1]
    known = facts(armed, "n2")
    assert (known.owner, known.peer, known.peer_is_offline) == ("n1", "n1", False)
    assert facts(armed, "n1").peer == "n2"
    assert written(armed, "n3").resources == {}  # type: ignore[union-attr]


def test_it_follows_each_change_of_it(armed: FakeCluster) -> None:
    before = facts(armed, "n1")
    armed.hosts["n1"].update("drbd.set", "wait", on_peer_loss="wait")
    armed.down.add("n2")
    armed.hosts["n1"].consensus.declare(["n2"], id="c", who="a", why="w", alive=list)

    after = facts(armed, "n1")

    assert (before.waits, after.waits) == (False, True)
    assert (before.peer_is_offline, after.peer_is_offline) == (False, True)
    assert before.head != after.head


def test_it_is_written_where_it_differs_alone(armed: FakeCluster) -> None:
    written(armed, "n1")
    path = armed.hosts["n1"].settings.state / handler_facts.FILE
    inode = path.stat().st_ino

    written(armed, "n1")
    assert path.stat().st_ino == inode

    path.write_text("torn")
    written(armed, "n1")
    assert path.stat().st_ino != inode


def test_a_commit_and_the_loop_write_it_at_once(armed: FakeCluster) -> None:
    host = armed.hosts["n1"]
    path = host.settings.state / handler_facts.FILE
    failed: list[Exception] = []

    def write_often() -> None:
        try:
            for _ in range(40):
                path.unlink(missing_ok=True)
                handler_file.write(host)
        except Exception as error:
            failed.append(error)

    writers = [threading.Thread(target=write_often) for _ in range(4)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()

    assert failed == []
    handler_file.write(host)
    assert handler_facts.read(host.settings.state) is not None


def test_a_node_counts_as_armed_once_mcv_lease_is_told_so(armed: FakeCluster) -> None:
    armed.hosts["n1"].update("ha.disarm", "disarm")
    assert written(armed, "n1").is_armed is False  # type: ignore[union-attr]

    (armed.hosts["n1"].settings.run / "armed").write_text("{}")

    assert written(armed, "n1").is_armed is True  # type: ignore[union-attr]


def test_without_etcd_there_is_none(three: FakeCluster) -> None:
    path = three.hosts["n1"].settings.state / handler_facts.FILE
    path.write_text("{}")

    assert written(three, "n1") is None
    assert not path.exists()


def test_an_armed_node_without_the_file_refuses(
    armed: FakeCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = armed.hosts["n1"].settings

    assert handler.fence_peer(RESOURCE, settings) == 1
    assert "armed" in capsys.readouterr().err

    handler_file.write(armed.hosts["n1"])
    asked: list[Path] = []

    def answer(resource: str, state: Path, facts: HandlerFacts) -> int:
        asked.append(state)
        return 5

    # An entry point of before calls this one.
    monkeypatch.setattr("mcv.drbd.armed_handler.answer", answer)
    assert handler.fence_peer(RESOURCE, settings) == 5
    assert asked == [settings.state]
