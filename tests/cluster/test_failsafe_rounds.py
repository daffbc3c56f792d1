"""Promises between the daemons of a cluster, and what each has seen of the others' leases."""

import pytest

from mcv.cluster import arming, etcd_store, failsafe_rounds
from mcv.errors import DoneInPart
from mcv.etcd.keys import ClusterKeys
from mcv.etcd.requests import put
from mcv.ha.values import Held, Taken
from mcv.host import Host
from mcv.system import lease
from mcv.system.lease import LeaseFile
from tests.fakes.cluster import FakeCluster


@pytest.fixture
def armed(three: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    for name in ("LEASE", "ADJUST"):
        monkeypatch.setattr(f"mcv.cluster.arming_steps.{name}", 0.0)
    three.run("n1", etcd_store.to_etcd)
    try:
        three.run("n1", arming.arm)
    except DoneInPart as error:
        assert "settings" in error.message
    for host in three.hosts.values():
        three.look(host.name)
    return three


def has(host: Host, left: float) -> None:
    """Its lease is valid for so many seconds more."""
    lease.write(LeaseFile(lease.boot_id(), lease.now() + left), host.settings.run)


def promised(host: Host) -> float | None:
    file = lease.read(host.settings.run, lease.PROMISES)
    return None if file is None else file.until


def hold(cluster: FakeCluster, node: str, held: Held | Taken) -> None:
    store = cluster.read().store
    keys = ClusterKeys(store.id if store else "")
    cluster.etcd.change((), [put(keys.lease(node), held.encode().encode())])


def held(sequence: int = 1) -> Held:
    return Held("boot", sequence, 12, 8, 1, proves=True)


def test_all_members_promise_where_the_lease_runs_out(armed: FakeCluster) -> None:
    host = armed.hosts["n1"]
    has(host, 5.0)
    before = lease.now()

    failsafe_rounds.extend(host)

    sent = promised(host)
    assert sent is not None and before <= sent <= lease.now()


def test_nobody_is_asked_while_writes_of_the_lease_succeed(armed: FakeCluster) -> None:
    host = armed.hosts["n1"]
    has(host, 10.0)

    failsafe_rounds.extend(host)

    assert promised(host) is None


@pytest.mark.parametrize("left", [-0.1, -30.0])
def test_nobody_is_asked_for_a_lease_that_has_ended(armed: FakeCluster, left: float) -> None:
    host = armed.hosts["n1"]
    has(host, left)

    failsafe_rounds.extend(host)

    assert promised(host) is None


def test_one_member_that_is_silent_is_enough_to_have_no_promises(armed: FakeCluster) -> None:
    host = armed.hosts["n1"]
    has(host, 5.0)
    armed.down.add("n3")

    failsafe_rounds.extend(host)

    assert promised(host) is None


def test_one_member_that_reaches_etcd_renews_the_lease_where_not_all_promise(
    armed: FakeCluster,
) -> None:
    host = armed.hosts["n1"]
    hold(armed, "n1", Held(lease.boot_id(), 3, 12, 8, 1, proves=True))
    failsafe_rounds.look(armed.hosts["n2"])
    seen = armed.hosts["n2"].leases.seen("n1")
    has(host, 5.0)
    armed.down.add("n3")
    before = lease.now()

    failsafe_rounds.extend(host)

    sent = promised(host)
    assert sent is not None and before <= sent <= lease.now()
    failsafe_rounds.look(armed.hosts["n2"])
    now = armed.hosts["n2"].leases.seen("n1")
    assert seen is not None and now is not None
    assert now.held == seen.held and now.revision > seen.revision


@pytest.mark.parametrize(
    "stands", [None, Taken("n2", "word"), Held("another boot", 3, 12, 8, 1, proves=True)]
)
def test_what_is_no_lease_of_this_boot_is_renewed_by_nobody(
    armed: FakeCluster, stands: Held | Taken | None
) -> None:
    if stands is not None:
        hold(armed, "n1", stands)
    revision = armed.etcd.revision

    assert not failsafe_rounds.renew(armed.hosts["n2"], lease.boot_id(), "n1").renewed
    assert not failsafe_rounds.renew(armed.hosts["n2"], lease.boot_id(), "stranger").renewed

    assert armed.etcd.revision == revision


def test_a_member_with_another_document_promises_nothing(armed: FakeCluster) -> None:
    head = armed.hosts["n1"].consensus.committed()[1]

    assert failsafe_rounds.promise(armed.hosts["n2"], head, "n1").promised
    assert not failsafe_rounds.promise(armed.hosts["n2"], "0" * 64, "n1").promised
    assert not failsafe_rounds.promise(armed.hosts["n2"], head, "stranger").promised


def test_an_unarmed_member_promises_nothing_and_asks_nobody(three: FakeCluster) -> None:
    host = three.hosts["n1"]
    head = host.consensus.committed()[1]
    has(host, 5.0)

    failsafe_rounds.extend(host)

    assert not failsafe_rounds.promise(host, head, "n2").promised
    assert promised(host) is None


def test_a_lease_is_seen_to_stay_unchanged_and_a_promise_counts_as_a_change(
    armed: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = armed.hosts["n2"]
    hold(armed, "n1", held())
    failsafe_rounds.look(host)
    now = lease.now()
    monkeypatch.setattr(lease, "now", lambda: now + 21.5)
    failsafe_rounds.look(host)
    assert not host.leases.has_ended("n1")
    assert not host.leases.is_quiet("n1")

    monkeypatch.setattr(lease, "now", lambda: now + 22.5)
    failsafe_rounds.look(host)
    assert host.leases.has_ended("n1")
    assert host.leases.is_quiet("n1")
    seen = host.leases.seen("n1")
    assert seen is not None and seen.held == held()

    head = armed.hosts["n1"].consensus.committed()[1]
    assert failsafe_rounds.promise(host, head, "n1").promised
    assert not host.leases.has_ended("n1")
    assert not host.leases.is_quiet("n1")
    assert host.leases.age("n1") < 1.0


def test_a_watchdog_that_proves_nothing_is_no_evidence_and_quiet_all_the_same(
    armed: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = armed.hosts["n2"]
    assert not host.leases.is_quiet("n3")
    hold(armed, "n1", Held("boot", 1, 12, 8, 1, proves=False))
    hold(armed, "n3", Taken("n2", "word"))
    failsafe_rounds.look(host)
    assert host.leases.is_quiet("n3")
    assert not host.leases.is_quiet("n1")

    now = lease.now()
    monkeypatch.setattr(lease, "now", lambda: now + 30)

    assert host.leases.is_quiet("n1")
    assert not host.leases.has_ended("n1")


def test_a_renewal_is_seen_and_what_is_no_lease_is_none(
    armed: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = armed.hosts["n2"]
    hold(armed, "n1", held())
    hold(armed, "n3", Taken("n1", "lease"))
    store = armed.read().store
    manager = ClusterKeys(store.id if store else "").lease("manager")
    armed.etcd.change((), [put(manager, b'{"term": 3}')])
    failsafe_rounds.look(host)
    now = lease.now()
    monkeypatch.setattr(lease, "now", lambda: now + 60)
    hold(armed, "n1", held(2))

    failsafe_rounds.look(host)

    assert not host.leases.has_ended("n1")
    assert host.leases.seen("n3") is None
    assert host.leases.seen("manager") is None


def test_without_etcd_what_was_seen_stays_and_disarmed_nothing_is(
    armed: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = armed.hosts["n2"]
    hold(armed, "n1", held())
    failsafe_rounds.look(host)
    now = lease.now()
    monkeypatch.setattr(lease, "now", lambda: now + 30)
    armed.down |= {"n1", "n3"}
    failsafe_rounds.look(host)
    assert host.leases.age("n1") >= 30

    armed.down.clear()
    armed.run("n2", arming.disarm)
    failsafe_rounds.look(host)
    assert host.leases.seen("n1") is None
