"""The lease, step by step, over an environment that a test drives."""

from dataclasses import dataclass, field

import pytest

from mcv.ha.at_once import at_once
from mcv.ha.env import Answer, Entry, LeaseFile, Leftovers, Put, Txn, Unknown
from mcv.ha.lease import Lease, OnLost
from mcv.ha.timing import at_pace
from mcv.ha.values import Held, Taken

PERIODS = at_pace(1)
GUEST = Leftovers(running=("qemu (7)",))
KEY = "lease/n1"


class Reset(Exception):
    pass


@dataclass
class Host:
    """LeaseEnv, with its clock in a test's hand; the store answers while `has_quorum`."""

    time: float = 100.0
    has_quorum: bool = True
    has_room: bool = True  # for the lease's file
    left: Leftovers = field(default_factory=Leftovers)
    file: LeaseFile | None = None
    round: float | None = None
    is_gate_shared: bool = False
    store: dict[str, Entry] = field(default_factory=dict)
    revision: int = 7
    did: list[str] = field(default_factory=list)
    counts: float = 60.0  # the watchdog
    node: str = "n1"
    boot: str = "b1"
    _outcomes: dict[int, Answer | Unknown] = field(default_factory=dict)

    async def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds

    async def say(self, text: str) -> None:
        self.did.append(f"says {text}")

    async def txn(self, txn: Txn) -> Answer:
        if not self.has_quorum:
            raise Unknown
        holds = all(
            self.store.get(compare.key, Entry("", 0)).revision == compare.revision  # type: ignore[union-attr]
            for compare in txn.compares
        )
        if holds and txn.puts:
            self.revision += 1
            for put in txn.puts:
                self.write(put)
        return Answer(holds, self.revision, dict(self.store))

    def write(self, put: Put) -> None:
        if put.value is None:
            self.store.pop(put.key, None)
        else:
            self.store[put.key] = Entry(put.value, self.revision)

    async def send(self, txn: Txn) -> int:
        number = len(self._outcomes) + 1
        try:
            self._outcomes[number] = await self.txn(txn)
        except Unknown:
            self._outcomes[number] = Unknown()
        return number

    async def outcome(self, number: int) -> Answer | Unknown | None:
        return self._outcomes[number]

    async def lease_file(self) -> LeaseFile | None:
        return self.file

    async def promised(self) -> float | None:
        return self.round

    async def publish(self, file: LeaseFile) -> bool:
        if self.has_room:
            self.file = file
        return self.has_room

    async def withdraw(self) -> None:
        self.file = None

    async def open_watchdog(self, timeout: float, *, or_less: bool = False) -> float:
        self.did.append("opens")
        self.counts = min(timeout, self.counts) if or_less else timeout
        return self.counts

    async def set_watchdog(self, timeout: float) -> None:
        self.did.append(f"sets {timeout:g}")
        self.counts = timeout

    async def feed(self, until: float | None) -> bool:
        self.did.append("feeds")
        return True

    async def close_watchdog(self) -> None:
        self.did.append("closes")

    async def leftovers(self) -> Leftovers:
        self.did.append("looks")
        return self.left

    async def kill(self) -> None:
        self.did.append("kills")

    async def close_gate(self) -> bool:
        return not self.is_gate_shared

    async def open_gate(self) -> None:
        self.did.append("opens the gate")

    async def reset(self) -> None:
        raise Reset

    def run(self, lease: Lease, seconds: float) -> list[str]:
        """Step for a while; what was done."""
        self.did = []
        end = self.time + seconds
        while self.time < end:
            at_once(lease.step())
            self.time += 0.25
        return self.did


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def lease(host: Host) -> Lease:
    """A lease that is held."""
    lease = Lease(host, PERIODS)
    host.run(lease, 3)
    assert host.file is not None and host.file.until > host.time
    return lease


def test_before_its_first_lease_a_host_keeps_its_guests_and_is_fed(host: Host) -> None:
    host.has_quorum, host.left = False, GUEST

    did = host.run(Lease(host, PERIODS), 60)

    assert set(did) == {"opens", "feeds", "looks"}
    assert did.count("feeds") == 240


def test_an_empty_host_holds_the_gate_alone_before_its_first_lease_too(host: Host) -> None:
    host.has_quorum = False
    lease = Lease(host, PERIODS)
    host.run(lease, 3)

    host.has_quorum = True
    assert host.run(lease, 3).count("opens the gate") == 1


def test_a_process_that_begins_anew_knows_that_there_was_one(host: Host, lease: Lease) -> None:
    host.has_quorum, host.left = False, GUEST
    assert host.file is not None
    again = Lease(host, PERIODS)
    host.run(again, 1)

    host.time = host.file.until

    assert {"kills"} <= set(host.run(again, 3))
    assert "feeds" not in host.did


def test_a_process_that_begins_at_another_pace_counts_no_longer_than_was_announced(
    host: Host, lease: Lease
) -> None:
    host.has_quorum = False
    again = Lease(host, at_pace(2))
    host.run(again, 2)
    host.round = host.time
    host.run(again, 10)

    assert host.counts == PERIODS.watchdog
    assert again.until == host.round + PERIODS.validity

    host.has_quorum = True
    host.run(again, 6)
    assert host.counts == at_pace(2).watchdog
    assert again.until > host.time + PERIODS.validity


def test_a_lease_that_cannot_be_published_is_none_at_first_and_goes_on_later(host: Host) -> None:
    """A process that begins anew without the file would take itself for the first one."""
    host.has_room, host.left = False, GUEST
    lease = Lease(host, PERIODS)
    assert "kills" not in host.run(lease, 30)
    assert not lease._has_had_one

    host.has_room = True
    host.run(lease, 1)
    assert host.file is not None and host.file.until > host.time

    host.has_room = False
    assert host.run(lease, 30).count("feeds") == 120


def test_what_is_left_is_looked_at_and_killed_once_a_second(host: Host, lease: Lease) -> None:
    host.has_quorum, host.left = False, GUEST
    host.time += PERIODS.validity

    assert host.run(lease, 4).count("kills") == 4
    assert host.did.count("looks") == 4


def test_a_guest_that_does_not_end_in_suspended_io_costs_the_host(host: Host, lease: Lease) -> None:
    host.has_quorum, host.left = False, Leftovers(stuck=("qemu (7)",))
    host.time += PERIODS.validity

    host.run(lease, 1.5)
    with pytest.raises(Reset):
        host.run(lease, 1.5)
    assert "says qemu (7) cannot be ended: reset" in host.did


def test_a_host_may_be_reset_at_once(host: Host, lease: Lease) -> None:
    lease.on_lost = OnLost.RESET
    host.has_quorum, host.left = False, GUEST
    host.time += PERIODS.validity

    with pytest.raises(Reset):
        host.run(lease, 1)


def test_an_idle_host_is_fed_with_the_gate_held_alone_and_has_its_lease_again(
    host: Host, lease: Lease
) -> None:
    host.has_quorum, host.is_gate_shared = False, True
    host.time += PERIODS.validity
    assert "feeds" not in host.run(lease, 3)

    host.is_gate_shared = False
    assert "feeds" in host.run(lease, 3)

    host.has_quorum = True
    assert "opens the gate" in host.run(lease, 3)
    assert host.file is not None and host.file.until > host.time


def test_promises_of_all_count_from_before_the_asking(host: Host, lease: Lease) -> None:
    host.has_quorum = False
    host.run(lease, 6)
    host.round = host.time

    host.run(lease, 1)

    assert host.file is not None and host.file.until == host.round + PERIODS.validity


def test_promises_that_come_after_the_end_count_for_nothing(host: Host, lease: Lease) -> None:
    host.has_quorum = False
    host.time += PERIODS.validity
    host.round = host.time - 1

    host.run(lease, 3)

    assert host.file is not None and host.file.until < host.time


def test_promises_do_not_outweigh_a_taking(host: Host, lease: Lease) -> None:
    host.revision += 1
    host.write(Put(KEY, Taken("n2", "word").encode()))
    host.run(lease, 3)
    host.round = host.time

    host.run(lease, 2)

    assert lease.until == 0.0


def test_an_idle_host_gives_its_lease_back(host: Host, lease: Lease) -> None:
    assert at_once(lease.leave())

    assert host.store == {}
    assert host.file is None
    assert host.did[-1] == "closes"


@pytest.mark.parametrize("gate, left", [(True, Leftovers()), (False, GUEST)])
def test_a_host_that_is_not_idle_keeps_it(
    host: Host, lease: Lease, gate: bool, left: Leftovers
) -> None:
    host.is_gate_shared, host.left = gate, left

    assert not at_once(lease.leave())

    assert KEY in host.store
    assert "closes" not in host.did


def test_a_lease_that_others_have_written_is_not_deleted(host: Host, lease: Lease) -> None:
    host.revision += 1
    host.write(Put(KEY, Taken("n2", "word").encode()))

    at_once(lease.give_back())

    assert KEY in host.store
    assert host.did[-1] == "closes"


def test_without_etcd_the_watchdog_ends_all_the_same(host: Host, lease: Lease) -> None:
    host.has_quorum = False
    host.did = []

    at_once(lease.give_back())

    assert host.did == ["feeds", "feeds", "feeds", "closes"]


def test_a_lease_of_the_boot_before_is_written_over(host: Host) -> None:
    held = Held("b0", 41, 12, 8, 1, True)
    host.write(Put(KEY, held.encode()))
    lease = Lease(host, PERIODS)

    host.run(lease, 2)

    assert host.file is not None and host.file.boot == "b1"
    assert host.file.until > host.time


def test_writes_that_nobody_answers_do_not_pile_up(host: Host, lease: Lease) -> None:
    host.has_quorum = False

    host.run(lease, 600)

    assert len(lease._sent) <= PERIODS.validity / PERIODS.renewal


def test_what_is_no_lease_is_written_over(host: Host, lease: Lease) -> None:
    host.revision += 1
    host.write(Put(KEY, "nonsense"))

    host.run(lease, 5)

    assert "nonsense" not in host.store[KEY].value
    assert host.file is not None and host.file.until > host.time + PERIODS.validity / 2
