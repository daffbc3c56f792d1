"""Verifications over fake doors: their limit, their cancel, and what is said of one cut off."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from mcv.document.disks import Verification
from mcv.drbd import notes, verification_monitor, verification_results, verify
from mcv.errors import Cancelled, CommandFailed, McvError, PeerUnreachable, Refused
from mcv.recovery import jobs as recovered_jobs
from mcv.status import resources, vms
from mcv.timestamps import timestamp
from mcv.transaction import jobs
from mcv.transaction.jobs import Job
from mcv.vm import create, migrate, power
from tests.fakes.cluster import FakeCluster

RESOURCE = "mcv-web1-1"


class Asked:
    """A verification that was asked for in a thread of its own."""

    def __init__(self, cluster: FakeCluster, name: str = "web1", node: str = "n1") -> None:
        host = cluster.hosts[node]
        self.rows: list[dict[str, Any]] = []
        self.error: McvError | None = None
        self.job = host.jobs.begin(f"verify {name}", "alice")
        self._thread = threading.Thread(target=self._run, args=(cluster, node, name), daemon=True)
        self._thread.start()

    def _run(self, cluster: FakeCluster, node: str, name: str) -> None:
        jobs.current.set(self.job)
        try:
            self.rows = verify.verify(cluster.hosts[node], name=name)
        except McvError as error:
            self.error = error
        except SystemExit:
            return
        self.job.end(self.rows, self.error)

    def ended(self) -> "Asked":
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self

    @property
    def result(self) -> str:
        return str(self.rows[0]["result"])


def until(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.005)


def make(cluster: FakeCluster, *names: str) -> None:
    for name in names:
        cluster.run("n1", create.create, name=name, memory="64MiB", disks=["64MiB"])


def mark(cluster: FakeCluster, node: str = "n2") -> Verification:
    return cluster.read(node).vm("web1").replica(1).verification


def restart_daemon(cluster: FakeCluster) -> None:
    """Another daemon on n1, while its kernel goes on; the dead one says nothing any more."""

    def silent(*_: Any, **__: Any) -> Any:
        raise SystemExit

    cluster.hosts["n1"].update_beside = silent  # type: ignore[method-assign]
    cluster.boot("n1")
    cluster.look("n1")


def is_at_it(cluster: FakeCluster, resource: str = RESOURCE) -> bool:
    return resource in cluster.world.verifying


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("mcv.drbd.verification_monitor", "mcv.drbd.verify"):
        monkeypatch.setattr(f"{module}.POLL", 0.01)


@pytest.fixture
def slow(cluster: FakeCluster) -> Iterator[FakeCluster]:
    """web1, whose verifications last until they are stopped or cut off."""
    make(cluster, "web1")
    cluster.drbd["n1"].broken.add("slow")
    yield cluster
    cluster.world.verifying.clear()


def block(cluster: FakeCluster) -> None:
    """Let a verification fail, and the blocks be mended since."""
    cluster.world.differs[RESOURCE] = 4096
    cluster.run("n1", verify.verify, name="web1")
    cluster.world.out_of_sync.clear()


def test_a_cancelled_one_is_stopped_in_the_kernel_and_lifts_no_mark(cluster: FakeCluster) -> None:
    make(cluster, "web1")
    block(cluster)
    cluster.drbd["n1"].broken.add("slow")
    asked = Asked(cluster)
    until(lambda: is_at_it(cluster))
    until(lambda: asked.job.cancellable)

    recovered_jobs.cancel_job(cluster.hosts["n1"], job=asked.job.id)

    assert asked.ended().result == "interrupted" and not is_at_it(cluster)
    assert (mark(cluster).result, mark(cluster).blocked) == ("interrupted", True)


def test_a_cancelled_one_that_had_found_something_blocks(slow: FakeCluster) -> None:
    asked = Asked(slow)
    until(lambda: is_at_it(slow))
    slow.world.out_of_sync[RESOURCE] = 4096
    until(lambda: asked.job.cancellable)

    recovered_jobs.cancel_job(slow.hosts["n1"], job=asked.job.id)

    assert asked.ended().result == "out-of-sync"
    assert mark(slow).blocked


def test_what_a_dead_daemon_left_reads_as_interrupted_at_once_and_is_closed(
    slow: FakeCluster,
) -> None:
    Asked(slow)
    until(lambda: is_at_it(slow) and mark(slow).result == "running")
    assert resources.list_(slow.hosts["n2"])[0].result == "running"
    assert vms.info(slow.hosts["n2"], "web1").verify.under_way

    restart_daemon(slow)

    for node in ("n1", "n2"):
        row, said = resources.list_(slow.hosts[node])[0], vms.info(slow.hosts[node], "web1")
        assert (row.result, row.verified_by) == ("interrupted", "alice")
        assert (said.verify.result, said.verify.under_way) == ("interrupted", False)
    assert is_at_it(slow)
    verification_results.conclude(slow.hosts["n2"])
    assert mark(slow).result == "running"
    verification_results.conclude(slow.hosts["n1"])
    assert not is_at_it(slow)
    assert (mark(slow).result, mark(slow).who) == ("interrupted", "alice")


def test_a_vm_that_moves_meanwhile_is_verified_to_the_end(slow: FakeCluster) -> None:
    asked = Asked(slow)
    until(lambda: is_at_it(slow) and mark(slow).result == "running")

    slow.run("n1", migrate.migrate, name="web1", to="n2")

    for host in slow.hosts.values():
        verification_results.conclude(host)
    assert is_at_it(slow) and vms.info(slow.hosts["n2"], "web1").verify.under_way
    slow.drbd["n1"].broken.clear()
    slow.drbd["n1"].verification.stop(RESOURCE)
    assert asked.ended().result == mark(slow).result == "clean"


def test_a_new_one_stops_what_the_kernel_does_for_a_dead_daemon(slow: FakeCluster) -> None:
    Asked(slow)
    until(lambda: is_at_it(slow) and mark(slow).result == "running")
    restart_daemon(slow)
    slow.drbd["n1"].broken.clear()

    assert Asked(slow).ended().result == "clean"
    assert mark(slow).result == "clean"


def test_what_a_dead_daemon_had_found_blocks(slow: FakeCluster) -> None:
    Asked(slow)
    until(lambda: is_at_it(slow) and mark(slow).result == "running")
    slow.world.out_of_sync[RESOURCE] = 4096
    restart_daemon(slow)

    verification_results.conclude(slow.hosts["n1"])

    assert (mark(slow).result, mark(slow).out_of_sync, mark(slow).blocked) == (
        "out-of-sync",
        4096,
        True,
    )


def test_a_peer_that_dies_leaves_it_interrupted_though_nothing_can_be_written_down(
    slow: FakeCluster,
) -> None:
    asked = Asked(slow)
    until(lambda: is_at_it(slow))

    slow.down.add("n2")
    slow.drbd["n2"].disconnect(RESOURCE)

    assert asked.ended().result == "interrupted"
    assert vms.info(slow.hosts["n1"], "web1").verify.result == "interrupted"
    slow.down.clear()
    slow.look("n1")
    verification_results.conclude(slow.hosts["n1"])
    assert mark(slow).result == "interrupted"


def test_a_finding_that_cannot_be_written_down_is_told_and_blocks_by_a_note(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(cluster, "web1")
    cluster.world.differs[RESOURCE] = 4096
    host, record = cluster.hosts["n1"], verification_results.record

    def fail(host: Any, vm: Any, disk: Any, result: Verification) -> None:
        if result.result != "running":
            raise PeerUnreachable("n2 does not answer.")
        record(host, vm, disk, result)

    monkeypatch.setattr(verification_results, "record", fail)
    rows = cluster.run("n1", verify.verify, name="web1")

    assert (rows[0]["result"], rows[0]["out_of_sync"]) == ("out-of-sync", 4096)
    with pytest.raises(Refused, match="last verification of web1 failed"):
        cluster.run("n1", power.start, name="web1")
    monkeypatch.setattr(verification_results, "record", record)
    verification_results.conclude(host)
    assert (mark(cluster).who, mark(cluster).out_of_sync, mark(cluster).blocked) == (
        "alice",
        4096,
        True,
    )
    assert notes.blocked(host.settings.notes) == []


def test_a_clean_one_that_cannot_be_written_down_says_so(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(cluster, "web1")
    record = verification_results.record

    def fail(host: Any, vm: Any, disk: Any, result: Verification) -> None:
        if result.result == "clean":
            raise PeerUnreachable("n2 does not answer.")
        record(host, vm, disk, result)

    monkeypatch.setattr(verification_results, "record", fail)

    with pytest.raises(PeerUnreachable, match="is clean, which could not be written down"):
        cluster.run("n1", verify.verify, name="web1")
    verification_results.conclude(cluster.hosts["n1"])
    monkeypatch.undo()
    verification_results.conclude(cluster.hosts["n1"])
    assert mark(cluster).result == "interrupted"


def test_what_was_found_blocks_also_where_its_events_were_lost(cluster: FakeCluster) -> None:
    make(cluster, "web1")
    cluster.world.out_of_sync[RESOURCE] = 4096
    cluster.drbd["n1"].broken.add("interrupt")

    rows = cluster.run("n1", verify.verify, name="web1")

    assert (rows[0]["result"], mark(cluster).blocked) == ("out-of-sync", True)


def test_one_that_does_not_begin_is_no_clean_one(cluster: FakeCluster) -> None:
    make(cluster, "web1")
    cluster.drbd["n1"].broken.add("verify")

    with pytest.raises(CommandFailed):
        cluster.run("n1", verify.verify, name="web1")

    assert mark(cluster).result == "interrupted"


def test_no_more_run_at_once_than_mcv_conf_allows(cluster: FakeCluster) -> None:
    host = cluster.hosts["n1"]
    host.settings = replace(host.settings, verify_at_once=1)
    make(cluster, "web1", "web2", "web3")
    cluster.drbd["n1"].broken.add("slow")
    first = Asked(cluster)
    until(lambda: is_at_it(cluster))
    second, third = Asked(cluster, "web2"), Asked(cluster, "web3")
    until(lambda: _waits(second.job) and _waits(third.job))

    recovered_jobs.cancel_job(host, job=third.job.id)

    assert isinstance(third.ended().error, Cancelled)
    assert set(cluster.world.verifying) == {RESOURCE}
    cluster.drbd["n1"].broken.clear()
    cluster.drbd["n1"].verification.stop(RESOURCE)
    assert first.ended().result == second.ended().result == "clean"


def _waits(job: Job) -> bool:
    said = [bar["what"] for bar in job.plain()["progress"]]
    return job.cancellable and any("verify_at_once = 1 on n1" in what for what in said)


def test_one_that_is_under_way_is_joined(slow: FakeCluster) -> None:
    first = Asked(slow)
    until(lambda: is_at_it(slow))
    second = Asked(slow)
    until(lambda: second.job.plain()["progress"])

    slow.drbd["n1"].verification.stop(RESOURCE)

    assert first.ended().rows == second.ended().rows != []


def test_ignoring_a_failure_that_only_a_note_knows_is_recorded(cluster: FakeCluster) -> None:
    make(cluster, "web1")
    host = cluster.hosts["n1"]
    notes.write(host.settings.notes, RESOURCE, "out-of-sync", when=timestamp())

    cluster.run("n1", power.start, name="web1", ignore_verify=True)

    override = cluster.read("n2").vm("web1").override
    assert override is not None and (override.who, override.what) == ("alice", "start")


def test_one_whose_end_nobody_saw_is_run_again_and_given_up_in_the_end(
    cluster: FakeCluster,
) -> None:
    make(cluster, "web1")
    kernel = cluster.drbd["n1"].verification
    kernel.unseen = verification_monitor.TRIES - 1

    assert Asked(cluster).ended().result == "clean"
    assert kernel.begun == verification_monitor.TRIES

    kernel.unseen = verification_monitor.TRIES
    assert Asked(cluster).ended().result == "interrupted"
    assert kernel.begun == 2 * verification_monitor.TRIES


def test_one_that_is_under_way_when_events_are_lost_is_followed_on(cluster: FakeCluster) -> None:
    make(cluster, "web1")
    kernel = cluster.drbd["n1"].verification
    cluster.drbd["n1"].broken.add("slow")
    kernel.skips = 2
    asked = Asked(cluster)
    until(lambda: kernel.streams == 3)

    kernel.stop(RESOURCE)

    assert asked.ended().result == "clean" and kernel.begun == 1
