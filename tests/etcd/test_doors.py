"""Moving the document to etcd and back: neither both doors take changes, nor is it lost."""

import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from mcv.cluster import permissions
from mcv.consensus.doors import Doors
from mcv.consensus.etcd.agreement import EtcdAgreement
from mcv.document.model import Cluster, digest
from mcv.errors import LookAgain, McvError, OutcomeOpen, PeerUnreachable, Refused, StoreMoved
from mcv.etcd.keys import ClusterKeys
from tests.etcd.server import Servers
from tests.fakes.cluster import FakeCluster
from tests.fakes.fixtures import short_timeouts as short_timeouts

ID = "0123456789abcdef"
NAMES = ("n1", "n2", "n3")


@pytest.fixture
def three(tmp_path: Path) -> FakeCluster:
    three = FakeCluster(tmp_path, NAMES)
    for name in NAMES:
        change(three, name, "node.etcd", name=name, certificate=f"certificate of {name}")
    poll(three)
    return three


def change(three: FakeCluster, node: str, name: str, /, **params: Any) -> Cluster:
    return three.hosts[node].consensus.propose(
        name, params, id=secrets.token_hex(4), who="root", why=name
    )


def move(three: FakeCluster, node: str = "n2") -> Cluster:
    return change(three, node, "store.etcd", id=ID, voters=list(NAMES), epoch="e-etcd")


def back(three: FakeCluster, node: str = "n2") -> Cluster:
    return change(three, node, "store.unanimous", epoch="e-back")


def poll(three: FakeCluster, *names: str) -> None:
    for name in names or NAMES:
        three.look(name)


def hashes(three: FakeCluster) -> set[str]:
    return {three.hosts[name].consensus.committed()[1] for name in NAMES}


def in_etcd(three: FakeCluster) -> bool:
    return bool(three.etcd.keys)


def test_the_document_moves_to_etcd_and_every_member_goes_on_there(three: FakeCluster) -> None:
    moved = move(three)
    for name in NAMES:
        change(three, name, "permission.add", user=f"u-{name}")
    poll(three)

    assert moved.store is not None
    assert three.hosts["n3"].read().permissions.superusers == ("u-n1", "u-n2", "u-n3")
    assert len(hashes(three)) == 1
    assert all(three.hosts[name].consensus.in_contact for name in NAMES)
    head = three.etcd.keys[ClusterKeys(ID).head]
    assert hashes(three).pop().encode() in head.value


def test_and_back_and_etcd_takes_nothing_more(three: FakeCluster) -> None:
    move(three)
    change(three, "n3", "permission.add", user="alice")

    back(three)
    poll(three)
    before = dict(three.etcd.keys)
    poll(three)
    new = change(three, "n3", "permission.add", user="bob")

    assert (new.store, new.permissions.superusers) == (None, ("alice", "bob"))
    assert three.etcd.keys == before
    assert len(hashes(three)) == 1
    assert three.hosts["n1"].consensus.in_contact


def test_a_member_that_has_not_heard_of_the_move_back_makes_its_change_all_the_same(
    three: FakeCluster,
) -> None:
    move(three)
    poll(three)
    mover = cast(Doors, three.hosts["n1"].consensus)._majority(ID)
    cast(EtcdAgreement, mover).proposer.deaf = {"n3"}
    back(three, "n1")
    head = three.etcd.keys[ClusterKeys(ID).head]
    assert three.hosts["n3"].read().store is not None

    new = change(three, "n3", "permission.add", user="alice")

    assert (new.store, new.permissions.superusers) == (None, ("alice",))
    assert three.etcd.keys[ClusterKeys(ID).head] == head


def test_there_and_back_and_there_again_are_two_etcds(three: FakeCluster) -> None:
    move(three)
    back(three)
    poll(three)

    again = change(three, "n1", "store.etcd", id="f" * 16, voters=list(NAMES), epoch="e4")
    poll(three)

    assert again.store is not None and again.store.id == "f" * 16
    change(three, "n2", "permission.add", user="alice")
    poll(three)
    assert len(hashes(three)) == 1


def test_without_etcd_the_move_stays_a_proposal_and_is_finished_when_it_is_there(
    three: FakeCluster,
) -> None:
    three.etcd.down = True
    with pytest.raises(OutcomeOpen, match="etcd has not taken the document"):
        move(three, "n1")

    assert all(three.hosts[name].read().store is None for name in NAMES)
    with pytest.raises((Refused, OutcomeOpen)):
        change(three, "n2", "permission.add", user="eve")

    three.etcd.down = False
    poll(three)
    assert three.hosts["n1"].read().store is not None
    poll(three)
    change(three, "n2", "permission.add", user="alice")
    poll(three)
    assert len(hashes(three)) == 1


def test_the_unanimous_door_is_shut_to_a_member_that_was_away(three: FakeCluster) -> None:
    three.down.add("n3")
    with pytest.raises((Refused, OutcomeOpen)):
        move(three, "n1")  # every online member has to take part
    three.down.clear()
    poll(three)
    move(three, "n1")
    three.down.add("n3")
    change(three, "n1", "permission.add", user="alice")
    three.down.clear()

    new = change(three, "n3", "permission.add", user="bob")

    assert new.permissions.superusers == ("alice", "bob")


def test_what_is_proposed_in_the_old_way_meets_a_shut_door(three: FakeCluster) -> None:
    base = three.hosts["n2"].read()
    move(three, "n1")
    poll(three)
    from mcv.document import changes
    from mcv.document.generation import made_now
    from mcv.document.model import encode

    made = made_now("n2", id="late", who="root", why="late")
    late = changes.apply(base, "permission.add", {"user": "eve"}, made)

    for name in NAMES:
        with pytest.raises(StoreMoved):
            three.agreements[name].coordinator.propose(encode(late), f"a-{name}", "n2")
        with pytest.raises(LookAgain):
            three.agreements[name].member.accept(encode(late), "n1")
    child = changes.apply(three.hosts["n2"].read(), "permission.add", {"user": "eve"}, made)
    for name in NAMES:
        with pytest.raises(StoreMoved):
            three.agreements[name].member.accept(encode(child), "n1")
    with pytest.raises(StoreMoved):
        three.agreements["n1"].declare(["n3"], id="d", who="", why="", alive=list)


def test_a_minority_changes_nothing_and_a_majority_goes_on_without_the_third(
    three: FakeCluster,
) -> None:
    move(three)
    poll(three)
    three.down.add("n3")

    new = change(three, "n1", "permission.add", user="alice")
    three.etcd.down = True
    with pytest.raises(PeerUnreachable, match="2 of 3 are needed, n3 does not answer"):
        change(three, "n1", "permission.add", user="bob")

    assert new.online == ["n1", "n2", "n3"]


def test_both_moves_and_changes_of_all_at_once_through_a_real_etcd(
    tmp_path: Path, servers: Servers
) -> None:
    three = FakeCluster(tmp_path, NAMES)
    real = servers.etcd()
    three.etcd = cast(Any, real)
    for name in NAMES:
        three.boot(name)
    poll(three)
    for name in NAMES:
        change(three, name, "node.etcd", name=name, certificate=f"certificate of {name}")
    id = secrets.token_hex(8)
    change(three, "n2", "store.etcd", id=id, voters=list(NAMES), epoch="e-real")

    def propose(name: str) -> None:
        for number in range(5):
            change(three, name, "permission.add", user=f"{name}-{number}")

    threads = [threading.Thread(target=propose, args=(name,)) for name in NAMES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    back(three)
    poll(three)

    assert len(hashes(three)) == 1
    assert three.hosts["n1"].read().store is None
    assert len(three.hosts["n1"].read().permissions.superusers) == 15
    real.gateway.close()


def test_a_member_tells_others_of_its_contact_through_the_door_in_use(three: FakeCluster) -> None:
    move(three)
    poll(three)
    part = three.agreements["n2"].member
    part.contact.forget()  # unanimous contact, which is not asked for meanwhile

    assert part.poll().in_contact
    three.etcd.down = True
    consensus = three.hosts["n2"].consensus
    cast(Any, consensus)._majority(ID).reader.read_at = float("-inf")
    assert not part.poll().in_contact


# A death in the middle, and a declaration over it


class Dies(BaseException):
    """The daemon ends here."""


def die(*args: Any) -> Any:
    raise Dies


def accepted_by_all(three: FakeCluster, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """n1 coordinates the move and dies: before it is put into etcd, or right after."""
    rounds = three.agreements["n1"].coordinator._rounds
    real = rounds.before_commit

    def callback(new: Cluster) -> None:
        if where == "after the seed":
            real(new)
        raise Dies

    rounds.before_commit = callback
    with pytest.raises(Dies):
        move(three, "n1")
    three.down.add("n1")


@pytest.mark.parametrize("where", ["before the seed", "after the seed"])
def test_a_coordinator_that_dies_in_the_move_finishes_it_when_it_is_back(
    three: FakeCluster, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    accepted_by_all(three, monkeypatch, where)
    poll(three, "n2", "n3")
    assert all(three.hosts[name].read().store is None for name in NAMES)

    three.down.clear()
    three.boot("n1")
    for _ in range(3):
        poll(three)

    assert all(three.hosts[name].read().store is not None for name in NAMES)
    change(three, "n2", "permission.add", user="alice")
    poll(three)
    assert len(hashes(three)) == 1


@pytest.mark.parametrize("where", ["before the seed", "after the seed"])
def test_a_coordinator_declared_dead_in_the_move_and_back_forks_nothing(
    three: FakeCluster, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    accepted_by_all(three, monkeypatch, where)

    declared = three.hosts["n2"].consensus.declare(
        ["n1"], id="dead", who="root", why="dead", alive=list
    )
    poll(three, "n2", "n3")

    # The move may have been acknowledged: the declaration is made over it, in etcd.
    assert declared.store is not None and declared.online == ["n2", "n3"]
    assert in_etcd(three)
    change(three, "n3", "permission.add", user="alice")
    three.down.clear()
    three.boot("n1")
    for _ in range(3):
        poll(three)
    assert len(hashes(three)) == 1
    assert three.hosts["n1"].read().permissions.superusers == ("alice",)
    assert three.hosts["n1"].read().online == ["n2", "n3"]
    assert three.hosts["n1"].consensus.diverged == {}


def test_a_member_that_holds_the_move_as_a_proposal_alone_takes_what_etcd_has(
    three: FakeCluster,
) -> None:
    """It missed the commit and nine changes behind etcd, and comes back with the coordinator."""
    agreement = three.agreements["n3"].member
    agreement.commit = lambda hash_, sender: (_ for _ in ()).throw(PeerUnreachable("n3"))  # type: ignore[method-assign]
    move(three, "n1")
    three.down.add("n3")
    assert three.hosts["n3"].read().store is None
    assert three.hosts["n3"].both()[-1].store is not None
    for number in range(9):
        change(three, "n2", "permission.add", user=f"u{number}")

    three.down.clear()
    three.down.add("n2")
    three.boot("n3")
    for _ in range(3):
        poll(three, "n1", "n3")

    assert len(three.hosts["n3"].read().permissions.superusers) == 9
    assert three.hosts["n3"].consensus.proposal() is None


def test_both_finish_the_move_at_once(three: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A declaration over the move, and its coordinator that was alive: one is in etcd first."""
    accepted_by_all(three, monkeypatch, "before the seed")
    three.down.clear()
    host = three.boot("n1")
    problems: list[BaseException] = []

    def attempt(work: Callable[[], object]) -> None:
        try:
            work()
        except McvError:
            pass
        except BaseException as error:
            problems.append(error)

    def declare() -> None:
        three.hosts["n2"].consensus.declare(["n1"], id="dead", who="", why="dead", alive=list)

    threads = [
        threading.Thread(target=attempt, args=(work,)) for work in (host.consensus.poll, declare)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(4):
        poll(three)

    assert problems == []
    assert len(hashes(three)) == 1
    assert three.hosts["n2"].read().store is not None
    assert not any(three.hosts[name].consensus.diverged for name in NAMES)


def test_an_operation_of_a_cluster_in_etcd_is_the_same(three: FakeCluster) -> None:
    move(three)

    three.run("n3", permissions.add, user="alice")
    poll(three)

    assert three.hosts["n1"].read().permissions.superusers == ("alice",)
    assert digest(three.hosts["n1"].read()) in hashes(three)
