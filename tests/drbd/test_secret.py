"""The DRBD secret: renewed when a node is removed, taken up by every node that stays."""

from pathlib import Path

import msgspec
import pytest

from mcv.cluster import members
from mcv.document import schema
from mcv.drbd import enable, secret
from mcv.errors import NotPermitted, PeerUnreachable, Refused, RepairNeeded
from mcv.recovery import journal_recovery
from mcv.vm import create
from tests.documents import of_schema
from tests.fakes.cluster import FakeCluster

RESOURCE = "mcv-web1-1"
FIRST = "word"


@pytest.fixture
def four(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """web1 has its replicas on n1 and n2; n3 and n4 hold nothing."""
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)
    cluster = FakeCluster(tmp_path, ("n1", "n2", "n3", "n4"))
    params = {"memory": "64MiB", "disks": ["64MiB"], "nodes": ["n1", "n2"]}
    cluster.run("n1", create.create, name="web1", **params)
    turn(cluster)
    return cluster


def turn(cluster: FakeCluster, *nodes: str) -> None:
    """A round of the loop on each node that is there."""
    for node in nodes or tuple(cluster.read().nodes):
        if node not in cluster.down:
            cluster.look(node)
            enable.adjust(cluster.hosts[node])


def kept(cluster: FakeCluster, node: str) -> dict[str, str]:
    """The secrets on a node's disk, by file."""
    pki = cluster.hosts[node].settings.pki
    return {path.name: path.read_text().strip() for path in pki.glob("drbd-secret*")}


def text(cluster: FakeCluster, node: str) -> str:
    return (cluster.hosts[node].settings.drbd_directory / f"{RESOURCE}.res").read_text()


def is_connected(cluster: FakeCluster) -> bool:
    return all(cluster.drbd[node].statuses()[RESOURCE].connected for node in ("n1", "n2"))


def file_of(cluster: FakeCluster) -> str:
    return secret.file_name(cluster.read().drbd.secret_id)


def remove(cluster: FakeCluster, node: str = "n3", force: bool = False) -> None:
    cluster.run("n1", members.remove_node, node=node, force=force)


def lose(cluster: FakeCluster, node: str) -> None:
    cluster.down.add(node)
    cluster.run("n1", members.offline, names=[node], confirm_dead=True)


def come_back(cluster: FakeCluster, node: str) -> None:
    """The node's host boots; its daemon brings its disks up before it has heard anybody."""
    cluster.down.discard(node)
    cluster.boot(node)
    cluster.look(node)
    members.come_back(cluster.hosts[node])


def test_a_removal_renews_the_secret_on_every_node_that_stays(
    four: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    parted: list[str] = []
    for door in four.drbd.values():
        monkeypatch.setattr(door, "disconnect", parted.append)

    remove(four)
    turn(four)

    name = file_of(four)
    word = kept(four, "n1")[name]
    assert name != "drbd-secret" and word != FIRST and len(word) <= 63
    assert [kept(four, node) for node in ("n1", "n2", "n4")] == [{name: word}] * 3
    assert kept(four, "n3") == {}
    assert all(f'shared-secret "{word}"' in text(four, node) for node in ("n1", "n2"))
    assert four.drbd["n1"].words == four.drbd["n2"].words == {RESOURCE: word}
    assert is_connected(four) and parted == []
    assert word not in msgspec.json.encode(four.read()).decode()


def test_a_node_that_was_away_gets_the_secret_when_it_is_back(four: FakeCluster) -> None:
    lose(four, "n2")
    remove(four, "n3")
    turn(four, "n1", "n4")
    assert kept(four, "n2") == {"drbd-secret": FIRST}

    come_back(four, "n2")
    turn(four)
    turn(four)

    assert kept(four, "n2") == kept(four, "n1") == {file_of(four): kept(four, "n1")[file_of(four)]}
    assert is_connected(four)


@pytest.mark.parametrize("first", ["n1", "n2"])
def test_replicas_that_met_with_two_secrets_find_each_other(four: FakeCluster, first: str) -> None:
    """The connection is lost after one side has the new secret, and before the other has."""
    remove(four)
    turn(four, first)
    four.world.met.discard(RESOURCE)
    assert not is_connected(four)

    turn(four)

    assert is_connected(four)


def test_a_dead_node_that_is_removed_by_force_knows_no_secret_either(four: FakeCluster) -> None:
    lose(four, "n3")

    remove(four, force=True)
    turn(four)

    assert file_of(four) != "drbd-secret" and is_connected(four)
    four.down.discard("n3")
    with pytest.raises(NotPermitted):
        secret.give(four.hosts["n1"], id=four.read().drbd.secret_id, sender="n3")


def test_a_removal_that_a_member_holds_up_is_finished(
    four: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spy(caller: str, node: str, operation: str) -> None:
        if operation == "drbd.take_secret" and node == "n4":
            raise PeerUnreachable("n4 does not answer.")

    four.spy = spy
    with pytest.raises(RepairNeeded, match="n4 does not answer"):
        remove(four)
    turn(four)
    assert four.read().drbd.secret_id == "" and is_connected(four)
    pending = kept(four, "n1")
    assert pending == kept(four, "n2") and len(pending) == 2

    four.spy = lambda caller, node, operation: None
    journal_recovery.resume_all(four.hosts["n1"], patience=False)
    turn(four)

    assert "n3" not in four.read().nodes and is_connected(four)
    assert [kept(four, node) for node in ("n2", "n4")] == [kept(four, "n1")] * 2
    assert kept(four, "n1") == {file_of(four): pending[file_of(four)]}  # not made twice


def test_a_cluster_with_an_earlier_version_keeps_its_secret(four: FakeCluster) -> None:
    for agreement in four.agreements.values():
        agreement.store.begin(of_schema(1, four.read()))

    remove(four)
    turn(four)

    assert file_of(four) == "drbd-secret" and is_connected(four)
    assert "secret_id" not in str(schema.older(msgspec.to_builtins(four.read()), 1))


def test_a_secret_is_given_to_no_member_that_is_being_removed(four: FakeCluster) -> None:
    asked: list[str] = []

    def spy(caller: str, node: str, operation: str) -> None:
        if operation == "drbd.take_secret" and node == "n4":
            with pytest.raises(NotPermitted):
                secret.give(four.hosts["n1"], id="", sender="n3")
            asked.append(node)

    four.spy = spy
    remove(four)

    assert asked == ["n4"]


def test_a_secret_in_use_is_replaced_by_no_call(four: FakeCluster) -> None:
    with pytest.raises(Refused, match="in use"):
        secret.take(four.hosts["n1"], secret="another")

    secret.take(four.hosts["n1"], secret=FIRST)
    assert kept(four, "n1") == {"drbd-secret": FIRST}


def test_only_the_holder_of_the_other_replica_has_it_connected(four: FakeCluster) -> None:
    four.drbd["n1"].disconnect(RESOURCE)

    with pytest.raises(NotPermitted, match="n4 holds no replica"):
        secret.reconnect(four.hosts["n1"], RESOURCE, sender="n4")
    with four.hosts["n1"].claim(four.read().subjects()[0], "test"), pytest.raises(Refused):
        secret.reconnect(four.hosts["n1"], RESOURCE, sender="n2")
    assert not is_connected(four)

    secret.reconnect(four.hosts["n1"], RESOURCE, sender="n2")

    assert is_connected(four)
