"""Members of a real etcd that die, hang, come and go, and what keeps their store in order."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcv.errors import CallLost, McvError, PeerUnreachable, Refused, StoreFull
from mcv.etcd.client import Etcd
from mcv.etcd.gateway import Gateway
from mcv.etcd.members import fsync_p99
from mcv.etcd.requests import put
from mcv.rpc import pki, tls
from tests.etcd.server import ADDRESS, PATIENCE, Member, Servers


@pytest.fixture(scope="module")
def three() -> Iterator[Servers]:
    servers = Servers("n1", "n2", "n3")
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_done(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except McvError:
        return False
    return True


def leader_of(servers: Servers) -> Member:
    upkeep = servers.upkeep()
    leader = 0
    while not leader:
        leader = upkeep.status(servers.members[0].endpoint).leader
    return servers[next(each.name for each in upkeep.members() if each.id == leader)]


def followers(servers: Servers) -> list[Member]:
    return [each for each in servers.members if each is not leader_of(servers)]


def asking_first(servers: Servers, first: Member, patience: float = 1.0) -> Gateway:
    order = [first, *(each for each in servers.members if each is not first)]
    return Gateway([each.endpoint for each in order], servers.context, patience)


def test_a_member_that_hangs_costs_one_read_its_time_and_the_next_one_nothing(
    three: Servers,
) -> None:
    hung = followers(three)[0]
    gateway = asking_first(three, hung, patience=3.0)
    hung.hang()
    try:
        Etcd(gateway).read(b"/")
        first = gateway.endpoints

        began = time.monotonic()
        Etcd(gateway).read(b"/")

        assert time.monotonic() - began < 2.9
        assert first[-1] == hung.endpoint
    finally:
        hung.go_on()


def test_a_write_that_a_member_may_have_is_sent_to_no_other(three: Servers) -> None:
    hung = followers(three)[0]
    gateway = asking_first(three, hung)
    etcd = Etcd(gateway)
    etcd.read(b"/")
    hung.hang()
    try:
        with pytest.raises(CallLost, match=f"etcd on {hung.name} does not answer"):
            etcd.change([], [put(b"/lost", b"1")])
    finally:
        hung.go_on()

    assert gateway.endpoints[-1] == hung.endpoint


def test_a_dead_member_is_passed_over_by_a_write_too(three: Servers) -> None:
    dead = followers(three)[0]
    etcd = Etcd(asking_first(three, dead, PATIENCE))
    etcd.read(b"/")
    dead.kill()

    assert etcd.change([], [put(b"/passed", b"1")]).succeeded

    dead.start(three.bundle, three.members)
    three.wait()


def test_a_minority_answers_from_its_own_copy_alone(three: Servers) -> None:
    _one, *others = three.members
    gateway = Gateway([each.endpoint for each in three.members], three.context, 1.0)
    Etcd(gateway).change([], [put(b"/kept", b"1")])
    for other in others:
        other.kill()
    etcd = Etcd(gateway)
    try:
        began = time.monotonic()
        with pytest.raises(PeerUnreachable, match=r"etcd on n[123] does not answer"):
            etcd.read(b"/kept")
        with pytest.raises((PeerUnreachable, CallLost)):
            etcd.change([], [put(b"/kept", b"2")])

        assert etcd.read_locally(b"/kept").value(b"/kept") == b"1"
        assert time.monotonic() - began < 3
    finally:
        for other in others:
            other.start(three.bundle, three.members)
        three.wait()


def test_the_leader_hands_over_to_the_member_that_is_named(three: Servers) -> None:
    upkeep = three.upkeep()
    heir = followers(three)[0]

    upkeep.move_leader(leader_of(three).endpoint, upkeep.named(heir.name).id)

    assert leader_of(three) is heir


def test_a_member_that_joins_learns_before_it_votes_and_leaves_without_a_trace(
    three: Servers,
) -> None:
    for each in three.members:  # what a member trusts it reads when it starts
        each.kill()
    fourth = three.add("n4")
    try:
        for each in three.members[:3]:
            each.start(three.bundle, three.members[:3])
        three.wait()
        upkeep = three.upkeep()

        until(lambda: is_done(lambda: upkeep.add_learner(fourth.peer_url)))
        (added,) = (each for each in upkeep.members() if each.is_learner)
        with pytest.raises(Refused, match="can only promote a learner member which is in sync"):
            upkeep.promote(added.id)
        fourth.start(three.bundle, three.members, "existing")
        until(lambda: is_done(lambda: upkeep.promote(added.id)))
        assert not upkeep.named("n4").is_learner
        upkeep.remove(added.id)
        upkeep.remove(added.id)
        assert sorted(each.name for each in upkeep.members()) == ["n1", "n2", "n3"]
    finally:
        fourth.kill()
        three.members.remove(fourth)


def test_a_stranger_with_a_member_s_name_is_served_nothing(three: Servers, tmp_path: Path) -> None:
    stranger = pki.create("n1", tmp_path / "pki")
    certificate = tmp_path / "etcd.pem"
    certificate.write_text(pki.certificate_at(stranger, ADDRESS))
    expected = three["n1"].certificate.read_text()
    context = tls.client_context(stranger, expected, certificate)

    with pytest.raises((PeerUnreachable, CallLost), match="etcd on n1 does not answer"):
        gateway = Gateway([three["n1"].endpoint], lambda endpoint: context)
        Etcd(gateway).read(b"/")


def test_a_member_that_shows_another_certificate_is_asked_nothing(three: Servers) -> None:
    expected = three["n2"].certificate.read_text()
    own = three["n1"]
    context = tls.client_context(own.identity, expected, own.certificate)
    gateway = Gateway([own.endpoint], lambda endpoint: context)

    with pytest.raises(PeerUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
        Etcd(gateway).change([], [put(b"/x", b"1")])


def test_a_snapshot_is_whole_or_not_there(three: Servers, tmp_path: Path) -> None:
    upkeep, path = three.upkeep(), tmp_path / "before.db"
    Etcd(three.gateway()).change([], [put(b"/snapshot", b"a value in the snapshot")])

    upkeep.snapshot(three["n1"].endpoint, path)

    assert b"a value in the snapshot" in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(McvError):
        upkeep.snapshot(three["n1"].endpoint._replace(port=1), tmp_path / "second.db")
    assert [each.name for each in tmp_path.iterdir()] == ["before.db"]


def test_a_full_etcd_takes_no_write_until_it_is_compacted_and_its_alarm_called_off() -> None:
    servers = Servers("n1", options=["--quota-backend-bytes=1048576"])
    try:
        servers.start()
        etcd, upkeep = servers.etcd(), servers.upkeep()
        with pytest.raises(StoreFull, match="etcd is full, as n1 says"):
            for _ in range(40):
                etcd.change([], [put(b"/big", bytes(100_000))])
        (alarm,) = upkeep.alarms().alarms
        assert alarm.alarm == "NOSPACE"

        etcd.compact(etcd.read(b"/big").header.revision, servers["n1"].endpoint)
        before = upkeep.status(servers["n1"].endpoint)
        upkeep.defragment(servers["n1"].endpoint)
        after = upkeep.status(servers["n1"].endpoint)
        upkeep.call_off(alarm.member, alarm.alarm)

        assert after.size < before.size
        assert etcd.change([], [put(b"/big", b"small")]).succeeded
        assert upkeep.alarms().alarms == []
    finally:
        servers.stop()


def test_how_long_the_disk_takes_is_read_from_a_member(three: Servers) -> None:
    measured = three.upkeep().fsync_seconds(three["n1"].endpoint)

    assert measured is not None
    assert 0 < measured < PATIENCE


METRICS = """\
# TYPE etcd_disk_wal_fsync_duration_seconds histogram
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"} 90
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.128"} 99
etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"} 100
etcd_disk_wal_fsync_duration_seconds_sum 2.5
"""


@pytest.mark.parametrize(
    ("metrics", "seconds"),
    [(METRICS, 0.128), (METRICS.replace(" 99\n", " 98\n"), float("inf")), ("", None)],
)
def test_the_99th_of_100_writes(metrics: str, seconds: float | None) -> None:
    assert fsync_p99(metrics) == seconds
