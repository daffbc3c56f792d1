"""The office and the rounds of the manager, over a store in memory."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from mcv.document.availability import Ha
from mcv.ha import values
from mcv.ha.at_once import at_once
from mcv.ha.env import Answer, Entry, LeaseFile, NothingNewer, Txn, Unchanged, Unknown
from mcv.ha.manager import Manager, Office
from mcv.ha.taking import Watch
from mcv.ha.timing import at_pace
from mcv.ha.values import Held, Taken
from mcv.rules.ha import status as kept
from mcv.rules.ha.actions import AnyAction, Ask, Declare, Start
from mcv.rules.ha.snapshot import NodeSeen, ServiceSeen, Snapshot
from mcv.rules.ha.status import Status


@dataclass
class Store:
    """etcd, with a clock that all nodes share."""

    now: float = 1000.0
    revision: int = 1
    keys: dict[str, Entry] = field(default_factory=dict)

    def put(self, key: str, value: str | None) -> None:
        self.revision += 1
        if value is None:
            self.keys.pop(key, None)
        else:
            self.keys[key] = Entry(value, self.revision)

    def renew(self, *nodes: str) -> None:
        """Each writes its lease anew."""
        for node in nodes:
            held = Held.by(at_pace(1), f"boot of {node}", self.revision, True)
            self.put(values.lease_key(node), held.encode())

    def commit(self, txn: Txn) -> Answer:
        holds = all(self._holds(compare) for compare in txn.compares)
        if holds:
            for put in txn.puts:
                self.put(put.key, put.value)
        entries = {
            key: entry
            for key, entry in self.keys.items()
            if any(key.startswith(prefix) for prefix in txn.reads)
        }
        return Answer(holds, self.revision, entries)

    def _holds(self, compare: Unchanged | NothingNewer) -> bool:
        assert isinstance(compare, Unchanged)
        entry = self.keys.get(compare.key)
        return (entry.revision if entry else 0) == compare.revision


def nothing(_: object) -> None:
    """Nothing happens."""


class Env:
    """A node's side of it; what it does is noted in its order."""

    def __init__(self, store: Store, node: str) -> None:
        self.store, self.node, self.boot = store, node, f"boot of {node}"
        self.has_lease = True
        self.done: list[object] = []
        self.before_txn: Callable[[Txn], None] = nothing
        self.before_look: Callable[[object], None] = nothing
        self.services: list[ServiceSeen] = []
        self.manager = Manager(self, Watch(self), f"life of {node}")

    def step(self) -> list[AnyAction]:
        """A round, and what was begun in it."""
        self.done = []
        at_once(self.manager.step())
        return [each for each in self.done if not isinstance(each, str)]  # type: ignore[misc]

    async def now(self) -> float:
        return self.store.now

    async def sleep(self, seconds: float) -> None:
        self.store.now += seconds

    async def say(self, text: str) -> None:
        return

    async def lease_file(self) -> LeaseFile | None:
        return LeaseFile(self.boot, self.store.now + 9) if self.has_lease else None

    async def txn(self, txn: Txn) -> Answer:
        self.before_txn(txn)
        self.done += [put.key for put in txn.puts]
        return self.store.commit(txn)

    async def look(self) -> Snapshot:
        self.before_look(None)
        return Snapshot(
            now=0.0,
            term=0,
            manager="",
            ha=Ha(armed=True),
            nodes={name: NodeSeen(name=name) for name in ("n1", "n2", "n3")},
            services={each.name: each for each in self.services},
        )

    async def begin(self, action: AnyAction, office: Office) -> None:
        self.done.append(action)


@pytest.fixture
def store() -> Store:
    store = Store()
    store.renew("n1", "n2", "n3")
    return store


def term(store: Store) -> tuple[str, int]:
    holder = values.decode_holder(store.keys[values.MANAGER].value)
    return holder.node, holder.term


def live(store: Store, seconds: float, *nodes: str, with_: tuple[Env, ...] = ()) -> None:
    """Time passes, leases of these nodes are renewed, and managers have their rounds."""
    until = store.now + seconds
    while store.now < until:
        store.now += 2.0
        store.renew(*nodes)
        for env in with_:
            env.step()


def test_a_free_office_is_taken_by_a_node_with_a_lease(store: Store) -> None:
    n1, n2 = Env(store, "n1"), Env(store, "n2")
    n1.has_lease = False

    n1.step()
    assert values.MANAGER not in store.keys
    n2.step()

    assert term(store) == ("n2", 1) and n2.manager.office is not None


def test_the_office_is_left_to_who_decides(store: Store) -> None:
    n1, n2 = Env(store, "n1"), Env(store, "n2")

    live(store, 60.0, "n1", "n2", "n3", with_=(n1, n2))

    assert term(store) == ("n1", 1) and n2.manager.office is None


def test_it_is_taken_from_who_has_not_decided_for_d(store: Store) -> None:
    """Its node's lease is renewed all the same: mcvd hangs there."""
    n1, n2 = Env(store, "n1"), Env(store, "n2")
    n1.step()
    live(store, 8.0, "n1", "n2", with_=(n2,))
    assert term(store) == ("n1", 1)

    live(store, 4.0, "n1", "n2", with_=(n2,))

    assert term(store) == ("n2", 2)


def test_it_is_taken_at_once_from_a_node_whose_lease_was_taken(store: Store) -> None:
    n1, n2 = Env(store, "n1"), Env(store, "n2")
    n1.step()
    store.put(values.lease_key("n1"), Taken("n3", "off").encode())

    n2.step()

    assert term(store) == ("n2", 2)


def test_it_is_taken_at_once_from_an_earlier_life(store: Store) -> None:
    Env(store, "n1").step()
    again = Env(store, "n1")

    again.step()

    assert term(store) == ("n1", 2)


def test_what_is_no_holder_holds_nothing(store: Store) -> None:
    store.put(values.MANAGER, "nonsense")

    Env(store, "n1").step()

    assert term(store) == ("n1", 1)


def test_who_loses_its_lease_decides_no_more(store: Store) -> None:
    n1 = Env(store, "n1")
    n1.step()
    n1.has_lease = False

    assert n1.step() == [] and n1.manager.office is None
    assert n1.done == []


LOST = ServiceSeen(name="a", node="n1")


def test_what_is_decided_is_written_before_it_is_done(store: Store) -> None:
    n1 = Env(store, "n1")
    n1.services = [LOST]

    n1.step()

    start = Start(uid="1.1", service="a", node="n1")
    assert n1.done == [values.MANAGER, values.BEAT, values.STATUS, start]
    written = kept.decode(store.keys[values.STATUS].value)
    assert written.services["a"].pending == start


def test_a_deposed_manager_writes_nothing_and_does_nothing(store: Store) -> None:
    n1, n2 = Env(store, "n1"), Env(store, "n2")
    n1.step()
    n1.services = [LOST]
    written = store.keys[values.STATUS]

    def deposed(_: object) -> None:
        live(store, 12.0, "n2", with_=(n2,))
        n1.before_look = nothing

    n1.before_look = deposed
    n2_wrote = n1.step()

    assert n2_wrote == [] and n1.manager.office is None
    assert term(store) == ("n2", 2)
    assert store.keys[values.STATUS] != written
    assert kept.decode(store.keys[values.STATUS].value).term == 2


def test_nothing_is_done_where_it_is_not_known_to_be_written(store: Store) -> None:
    n1 = Env(store, "n1")
    n1.step()
    n1.services = [LOST]

    def lost(txn: Txn) -> None:
        if txn.puts:
            store.commit(txn)  # it is committed, and its answer is lost
            raise Unknown

    n1.before_txn = lost
    with pytest.raises(Unknown):
        n1.step()
    assert not [each for each in n1.done if isinstance(each, Start)]
    n1.before_txn = nothing

    assert n1.step() == [Start(uid="1.1", service="a", node="n1")]


def test_the_next_manager_goes_on_with_what_was_decided(store: Store) -> None:
    n1, n2 = Env(store, "n1"), Env(store, "n2")
    n1.services = n2.services = [replace(LOST, node="n3")]
    n1.step()
    store.put(values.lease_key("n1"), None)

    assert n2.step() == [Start(uid="1.1", service="a", node="n3")]


def test_what_the_last_manager_wrote_before_it_lost_the_office_is_known(store: Store) -> None:
    """It decides once more between the reading and the taking of the next one."""
    n1, n2 = Env(store, "n1"), Env(store, "n2")
    n1.step()
    n1.services = n2.services = [replace(LOST, node="n3")]
    live(store, 8.0, "n1", "n2", "n3", with_=(n2,))

    def last(txn: Txn) -> None:
        if txn.puts:
            n2.before_txn = nothing
            n1.step()

    n2.before_txn = last
    live(store, 4.0, "n1", "n2", "n3", with_=(n2,))

    written = kept.decode(store.keys[values.STATUS].value)
    assert term(store) == ("n2", 2) and written.count == 1


def test_who_was_held_up_after_its_reading_begins_nothing(store: Store) -> None:
    n1 = Env(store, "n1")
    n1.step()
    n1.services = [LOST]

    def held_up(_: object) -> None:
        store.now += 4.0

    n1.before_look = held_up

    assert n1.step() == []


def test_silence_is_counted_to_before_the_reading_was_asked_for(store: Store) -> None:
    """Its own hanging is no silence of others."""
    n1 = Env(store, "n1")
    live(store, 10.0, "n2", "n3", with_=(n1,))

    def held_up(txn: Txn) -> None:
        if not txn.puts:
            store.now += 60.0

    n1.before_txn = held_up
    n1.step()

    assert n1.manager.status.nodes["n2"].state == "online"


def test_a_node_whose_lease_has_ended_is_declared(store: Store) -> None:
    n1 = Env(store, "n1")
    live(store, 10.0, "n2", "n3", with_=(n1,))
    revision = store.keys[values.lease_key("n2")].revision
    live(store, 8.0, "n3", with_=(n1,))
    store.now += 2.0
    assert n1.step() == [Ask(node="n2")]

    live(store, 12.0, "n3", with_=(n1,))

    assert Declare(node="n2", evidence="lease", lease=revision) in n1.step()


def test_grace_counts_from_the_first_reading_and_not_from_the_office(store: Store) -> None:
    """The manager's own host may be the one that dies."""
    n1, n2 = Env(store, "n1"), Env(store, "n2")
    live(store, 200.0, "n1", "n2", "n3", with_=(n1, n2))

    live(store, 24.0, "n2", "n3", with_=(n2,))

    assert term(store)[0] == "n2"
    assert Declare in [type(each) for each in n2.step()]


def test_it_knows_whose_lease_it_has_seen_renewed(store: Store) -> None:
    store.renew("n3")
    n1 = Env(store, "n1")
    live(store, 4.0, "n1", "n2", with_=(n1,))

    n1.step()

    looked = n1.manager.looked
    assert looked is not None
    assert [looked.nodes[name].renewed for name in ("n2", "n3")] == [True, False]


def test_a_quiet_round_writes_a_beat_alone_and_a_status_now_and_then(store: Store) -> None:
    n1 = Env(store, "n1")
    live(store, 4.0, "n2", "n3", with_=(n1,))
    n1.step()
    assert n1.done == [values.BEAT]

    before = store.keys[values.STATUS].revision
    live(store, 62.0, "n2", "n3", with_=(n1,))

    assert store.keys[values.STATUS].revision > before


def test_a_status_that_is_none_is_begun_anew(store: Store) -> None:
    store.put(values.STATUS, "nonsense")
    n1 = Env(store, "n1")

    n1.step()

    assert kept.decode(store.keys[values.STATUS].value).term == 1


def test_a_term_is_newer_than_any_that_was_kept(store: Store) -> None:
    store.put(values.STATUS, kept.encode(Status(term=7)))

    Env(store, "n1").step()

    assert term(store) == ("n1", 8)
