"""The document behind etcd's door: the same promises of a real etcd and of the one in memory."""

import secrets
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mcv.consensus.etcd import agreement, proposer
from mcv.consensus.etcd.agreement import EtcdAgreement
from mcv.consensus.etcd.door import KEPT, Door
from mcv.consensus.etcd.quorum import no_quorum
from mcv.consensus.protocol import Consensus
from mcv.document.model import Cluster, digest, encode
from mcv.document.store import Store
from mcv.errors import (
    CallLost,
    Diverged,
    McvError,
    NotUnderstood,
    OutcomeOpen,
    PeerUnreachable,
    Refused,
)
from mcv.etcd.client import Keyspace
from mcv.etcd.keys import ClusterKeys
from mcv.etcd.requests import delete, none_written_since, put, unchanged
from tests.documents import after, document
from tests.etcd.server import Servers
from tests.fakes.etcd import FakeEtcd
from tests.fakes.keys import FakeKeys

NAMES = ("n1", "n2", "n3")


class Members:
    """Members of one cluster in one process: each with its own store, one etcd for all."""

    def __init__(self, directory: Path, etcd: Keyspace) -> None:
        self.directory = directory
        self.etcd = etcd
        self.keys = ClusterKeys(secrets.token_hex(8))
        self.away: set[str] = set()
        self.parts: dict[str, EtcdAgreement] = {}
        self.first = in_etcd(self.keys.id)
        for name in NAMES:
            self.add(name)
        Door(etcd, self.keys).seed(self.first)

    def add(self, name: str) -> EtcdAgreement:
        store = Store(self.directory / name, 50)
        store.begin(self.first)

        def ask(node: str, operation: str, /, timeout: float, **params: Any) -> object:
            return self._answer(name, node, operation, params)

        keys = FakeKeys(self.first.nodes[name].certificate)
        door = Door(self.etcd, self.keys)
        part = EtcdAgreement(name, store, ask, keys, door, lambda: ["n2", "n3"])
        self.parts[name] = part
        return part

    def _answer(self, caller: str, node: str, operation: str, params: dict[str, Any]) -> object:
        if node in self.away or caller in self.away:
            raise PeerUnreachable(f"{node} does not answer.")
        store = self.parts[node].store
        committed, hash_ = store.committed()
        if operation == "config.commit":
            raise PeerUnreachable("It is told too late.")
        if operation == "config.fetch":
            between = [encode(each) for each in store.since(params.get("since", ""))]
            return {"document": encode(committed), "proposal": None, "between": between}
        return {
            "version": "x",
            "epoch": committed.epoch.number,
            "epoch_id": committed.epoch.id,
            "generation": committed.generation,
            "hash": hash_,
            "proposal": None,
            "in_contact": True,
            "reads": committed.schema,
        }

    def __getitem__(self, name: str) -> EtcdAgreement:
        return self.parts[name]


def in_etcd(id: str) -> Cluster:
    base = document(*NAMES)
    for name in NAMES:
        base = after(base, "node.etcd", name=name, certificate=f"certificate of {name}")
    return after(base, "store.etcd", id=id, voters=list(NAMES), epoch="e2")


def change(part: Consensus, id: str = "", **params: Any) -> Cluster:
    return part.propose(
        "permission.add",
        params or {"user": "alice"},
        id=id or secrets.token_hex(4),
        who="root",
        why="a test",
    )


@pytest.fixture(params=["in memory", "real"])
def etcd(request: pytest.FixtureRequest) -> Iterator[Keyspace]:
    if request.param == "in memory":
        yield FakeEtcd()
        return
    servers: Servers = request.getfixturevalue("servers")
    real = servers.etcd()
    yield real
    real.gateway.close()


@pytest.fixture
def members(tmp_path: Path, etcd: Keyspace) -> Members:
    return Members(tmp_path, etcd)


@pytest.fixture
def memory(tmp_path: Path) -> Members:
    return Members(tmp_path, FakeEtcd())


def fake(members: Members) -> FakeEtcd:
    assert isinstance(members.etcd, FakeEtcd)
    return members.etcd


# The contract: a real etcd and the one in memory


def test_what_one_member_commits_the_others_read(members: Members) -> None:
    new = change(members["n1"], user="alice")
    for name in NAMES:
        members[name].poll()

    assert new.permissions.superusers == ("alice",)
    assert {members[name].committed()[1] for name in NAMES} == {digest(new)}
    assert [each.generation for each in members["n3"].generations()][:2] == [
        new.generation,
        new.generation - 1,
    ]
    assert all(members[name].in_contact for name in NAMES)


def test_members_that_propose_at_once_all_have_their_change(members: Members) -> None:
    problems: list[BaseException] = []

    def propose(name: str, number: int) -> None:
        try:
            change(members[name], user=f"{name}-{number}")
        except BaseException as error:
            problems.append(error)

    threads = [
        threading.Thread(target=propose, args=(name, number)) for name in NAMES for number in (1, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    members["n1"].poll()

    assert problems == []
    superusers = members["n1"].document().permissions.superusers
    assert sorted(superusers) == sorted(f"{name}-{number}" for name in NAMES for number in (1, 2))
    assert members["n1"].document().generation == members.first.generation + 6


def test_a_change_is_made_once_for_its_id(members: Members) -> None:
    first = change(members["n1"], "job7.1", user="alice")

    again = change(members["n2"], "job7.1", user="alice")

    assert again == first


def test_bodies_are_kept_for_sixteen_generations(members: Members) -> None:
    for number in range(KEPT + 3):
        change(members["n1"], user=f"u{number}")

    bodies = members.etcd.below(members.keys.prefix + b"body/").kvs
    kept = [digest(each) for each in members["n1"].generations()[:KEPT]]
    assert {each.key for each in bodies} == {members.keys.body(hash_) for hash_ in kept}


def test_a_member_that_was_away_for_longer_gets_the_history_from_another(members: Members) -> None:
    for number in range(KEPT + 3):
        change(members["n1"], user=f"u{number}")
    members["n2"].poll()  # its history is whole, from the first member's

    members["n3"].poll()

    assert members["n3"].committed() == members["n1"].committed()
    assert len(members["n3"].generations()) == len(members["n1"].generations())
    assert members["n3"].reader.gap == ""


def test_a_gap_that_nobody_can_fill_is_shown(members: Members) -> None:
    for number in range(KEPT + 3):
        change(members["n1"], user=f"u{number}")
    members.away.add("n3")
    told: list[str] = []
    members["n3"].reader.on_gap = told.append

    members["n3"].poll()

    assert told == [members["n3"].reader.gap]
    assert members["n3"].committed() == members["n1"].committed()
    first, begin = members.first.generation, members.first.generation + 4
    assert f"from generation {first} to {begin}" in members["n3"].reader.gap


def test_a_change_that_depends_on_other_keys_is_made_only_while_they_hold(
    members: Members,
) -> None:
    read_at = members.etcd.below(members.keys.marks).header.revision
    compare = none_written_since(members.keys.marks, read_at)

    def propose(user: str) -> Cluster:
        return members["n1"].propose(
            "permission.add", {"user": user}, id=user, who="", why="", compares=[compare]
        )

    assert propose("alice").permissions.superusers == ("alice",)
    members.etcd.change([], [put(members.keys.stale("mcv-web1-1"), b"n2")])
    with pytest.raises(Refused, match="depends on has changed"):
        propose("bob")
    assert members["n2"].propose("barrier", {}, id="b", who="", why="").permissions.superusers == (
        "alice",
    )


def test_what_is_written_beside_a_change_is_written_with_it_or_not_at_all(
    members: Members,
) -> None:
    lease, taken = members.keys.lease("n3"), put(members.keys.lease("n3"), b"taken")
    members.etcd.change([], [put(lease, b"held")])
    seen = members.etcd.read(lease).kvs[0].mod_revision

    def propose(user: str) -> Cluster:
        compare = unchanged(lease, seen)
        return members["n1"].propose(
            "permission.add",
            {"user": user},
            id=user,
            who="",
            why="",
            compares=[compare],
            puts=[taken],
        )

    assert propose("alice").permissions.superusers == ("alice",)
    assert members.etcd.read(lease).kvs[0].value == b"taken"
    members.etcd.change([], [put(lease, b"held")])
    with pytest.raises(Refused, match="depends on has changed"):
        propose("bob")
    assert members.etcd.read(lease).kvs[0].value == b"held"


def test_what_is_declared_dead_is_offline_in_a_new_epoch(members: Members) -> None:
    before = members["n1"].document()

    new = members["n1"].declare(["n3"], id="d", who="root", why="dead", alive=list)

    assert (new.online, new.epoch.number) == (["n1", "n2"], before.epoch.number + 1)
    members["n3"].poll()
    assert not members["n3"].in_contact
    with pytest.raises(Refused, match="n3 is offline in the document"):
        members["n3"].require_right()
    with pytest.raises(Refused, match="n3 is offline in the document"):
        change(members["n3"], user="eve")


def test_what_answers_after_all_is_not_declared_dead(members: Members) -> None:
    with pytest.raises(Refused, match="n3 answers now, so it is not dead"):
        members["n1"].declare(["n3"], id="d", who="root", why="dead", alive=lambda: ["n3"])

    members["n2"].poll()
    assert members["n2"].document().online == ["n1", "n2", "n3"]


def test_the_first_document_is_put_there_once(members: Members) -> None:
    other = after(members.first, "permission.add", user="eve")

    assert not Door(members.etcd, members.keys).seed(other)

    assert change(members["n1"], user="alice").parent == digest(members.first)


def test_a_gap_is_not_taken_while_a_member_holds_what_etcd_has_not(members: Members) -> None:
    door = Door(members.etcd, members.keys)
    shown = door.head()
    assert shown is not None
    new = after(after(members.first, "barrier"), "permission.add", user="eve")
    door.swap(shown._replace(head=replace(shown.head, bodies=())), new)

    members["n2"].poll()

    assert members["n2"].document() == members.first
    assert members["n2"].diverged == {"etcd": digest(new)}


# What etcd holds is judged


def forged(members: Members, new: Cluster) -> None:
    """Put a document in the place of the newest one, past every judge."""
    door = Door(members.etcd, members.keys)
    shown = door.head()
    assert shown is not None and door.swap(shown, new)


def test_a_document_that_no_change_makes_of_its_parent_is_a_divergence(memory: Members) -> None:
    new = replace(after(memory.first, "permission.add", user="eve"), name="other")
    forged(memory, new)

    memory["n2"].poll()

    assert memory["n2"].committed()[0] == memory.first
    assert memory["n2"].diverged == {"etcd": digest(new)}
    assert not memory["n2"].in_contact
    with pytest.raises(Diverged, match="not what the change of n1 makes of its parent"):
        memory["n2"].require_right()
    with pytest.raises(Diverged):
        change(memory["n2"], user="bob")


def test_an_older_document_in_etcd_is_a_divergence(memory: Members) -> None:
    before = dict(fake(memory).keys)
    change(memory["n1"], user="alice")
    fake(memory).keys = before  # all members were restored from snapshots

    with pytest.raises(Diverged, match="does not contain the one of this node"):
        memory["n1"].require_right()

    assert memory["n1"].document().permissions.superusers == ("alice",)


def test_a_divergence_ends_with_a_document_that_names_both_ends(memory: Members) -> None:
    before = dict(fake(memory).keys)
    newest = change(memory["n1"], user="alice")
    memory["n2"].poll()
    fake(memory).keys = before
    memory["n1"].poll()
    params = {"pasts": [], "number": newest.epoch.number + 1, "epoch": "e9"}

    memory["n1"].resolve_divergence(newest, params, id="s", who="root", why="sync")
    memory["n2"].poll()

    assert memory["n2"].document().epoch.id == "e9"
    assert memory["n2"].diverged == {} == memory["n1"].diverged


NONSENSE: list[tuple[str, Callable[[Members], tuple[bytes, bytes]]]] = [
    ("a head that is none", lambda members: (members.keys.head, b"{}")),
    (
        "a body that is no text",
        lambda members: (members.keys.body(digest(members.first)), b"nothing"),
    ),
    (
        "a body that unpacks to no document",
        lambda members: (members.keys.body(digest(members.first)), zlib.compress(b"{}")),
    ),
    (
        "another body",
        lambda members: (
            members.keys.body(digest(members.first)),
            zlib.compress(encode(replace(members.first, name="other")).encode()),
        ),
    ),
    (
        "a body without an end",
        lambda members: (
            members.keys.body(digest(members.first)),
            zlib.compress(bytes(200 * 1024**2)),
        ),
    ),
]


@pytest.mark.parametrize(("story", "key"), NONSENSE, ids=[story for story, _ in NONSENSE])
def test_nonsense_in_etcd_is_a_divergence_and_changes_nothing_here(
    memory: Members, story: str, key: Callable[[Members], tuple[bytes, bytes]]
) -> None:
    older = replace(memory.first, generation=memory.first.generation - 1)
    store = Store(memory.directory / "behind", 50)
    store.begin(older)
    part = memory["n1"]
    behind = EtcdAgreement("n1", store, lambda *a, **b: None, FakeKeys(""), part.reader.door)
    fake(memory).change([], [put(*key(memory))])

    with pytest.raises((Diverged, NotUnderstood)):
        behind.require_right()

    assert store.read() == older
    assert not behind.in_contact


# Answers that are lost


@pytest.mark.parametrize("fault", ["lost before", "lost after"])
def test_a_lost_answer_is_looked_up_and_the_change_made_once(memory: Members, fault: Any) -> None:
    fake(memory).faults = [fault]

    new = change(memory["n1"], user="alice")

    assert new.permissions.superusers == ("alice",)
    assert new.generation == memory.first.generation + 1
    memory["n2"].poll()
    assert memory["n2"].committed() == memory["n1"].committed()


def test_a_lost_answer_whose_outcome_stays_unknown_is_said_so(
    memory: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proposer, "LOST", 0.3)
    etcd = fake(memory)
    plain_change = etcd.change

    def die(*args: Any) -> Any:
        etcd.faults = ["lost after"]
        try:
            return plain_change(*args)
        finally:
            etcd.down = True

    monkeypatch.setattr(etcd, "change", die)
    with pytest.raises(OutcomeOpen, match="did not say whether the change was made"):
        change(memory["n1"], "job1.1", user="alice")
    monkeypatch.undo()
    etcd.down = False

    # The id tells when etcd is back: it was made.
    assert change(memory["n1"], "job1.1", user="alice").permissions.superusers == ("alice",)
    assert memory["n1"].document().generation == memory.first.generation + 1


def test_a_minority_changes_and_starts_nothing_and_says_who_is_missing(memory: Members) -> None:
    memory["n1"].poll()
    fake(memory).down = True

    began = time.monotonic()
    for attempt in (lambda: change(memory["n1"], user="x"), memory["n1"].require_right):
        with pytest.raises(PeerUnreachable) as told:
            attempt()
        assert told.value.message.startswith("2 of 3 are needed, n2 and n3 do not answer")

    assert memory["n1"].document() == memory.first  # reads go on
    assert time.monotonic() - began < 3
    memory["n1"].reader.read_at -= agreement.FRESH
    assert not memory["n1"].in_contact


def test_a_majority_without_a_leader_is_no_fault_of_a_member() -> None:
    error = no_quorum(["n1", "n2", "n3"], [], "timed out.")

    assert "no majority of n1, n2 and n3 agrees at present (timed out)" in error.message


def test_no_room_here_refuses_a_change_before_it_is_in_etcd(
    memory: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcv.system.room.problem", lambda path: "/var/lib/mcv is full")

    with pytest.raises(Refused, match="n1 can write nothing down"):
        change(memory["n1"], user="alice")

    assert change_seen(memory) == memory.first


def change_seen(members: Members) -> Cluster:
    members["n2"].poll()
    return members["n2"].document()


def test_no_room_here_after_the_commit_leaves_the_outcome_open_and_the_next_read_has_it(
    memory: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcv.errors import SystemFailed

    def full(*args: object) -> None:
        raise SystemFailed("config.json: No space left on device.")

    monkeypatch.setattr(memory["n1"].store, "adopt", full)
    with pytest.raises(OutcomeOpen, match="n1 cannot write that down"):
        change(memory["n1"], user="alice")
    monkeypatch.undo()

    memory["n1"].poll()
    assert memory["n1"].document().permissions.superusers == ("alice",)


def test_a_document_that_etcd_would_not_take_is_refused_with_the_way(
    memory: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcv.consensus.etcd.door.MOST", 100)

    with pytest.raises(Refused, match="and etcd takes 100") as told:
        change(memory["n1"], user="alice")

    assert "unanimously again" in told.value.hint


def test_an_etcd_without_this_cluster_s_document_serves_nothing(memory: Members) -> None:
    fake(memory).change([], [delete(memory.keys.head)])

    with pytest.raises(McvError, match="no document of this cluster"):
        memory["n1"].require_right()


def test_bodies_that_go_while_they_are_read_are_read_again(
    memory: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(memory["n1"], user="alice")
    etcd, real = fake(memory), fake(memory).change
    calls: list[int] = []

    def once_too_late(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            for number in range(KEPT + 1):
                change(memory["n1"], user=f"u{number}")
        return real(*args)

    monkeypatch.setattr(etcd, "change", once_too_late)
    memory["n2"].poll()

    assert memory["n2"].committed() == memory["n1"].committed()


def test_unanimous_agreement_takes_no_comparisons(cluster: Any) -> None:
    compare = none_written_since(b"/", 1)

    for beside in ({"compares": [compare]}, {"puts": [put(b"/x", b"y")]}):
        with pytest.raises(Refused, match="Only in etcd"):
            cluster.hosts["n1"].consensus.propose("barrier", {}, id="x", who="", why="", **beside)
    cluster.hosts["n1"].consensus.require_right()


def test_a_swap_that_no_member_has_is_refused_not_unknown(memory: Members) -> None:
    fake(memory).faults = ["down"]

    with pytest.raises(PeerUnreachable, match="nothing was changed"):
        change(memory["n1"], user="alice")

    with pytest.raises(CallLost):
        fake(memory).faults = ["lost before"]
        Door(memory.etcd, memory.keys).swap(shown_of(memory), memory.first)


def shown_of(members: Members) -> Any:
    return Door(members.etcd, members.keys).head()
