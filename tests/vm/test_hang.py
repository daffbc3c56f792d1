"""A libvirt that hangs on one node: what was begun stays open, and is resumed when it answers."""

import threading
import time

import pytest

from mcv.api import dispatch
from mcv.errors import HypervisorFailed, LibvirtSilent, OutcomeOpen, Refused
from mcv.recovery import jobs as recovered_jobs
from mcv.recovery import journal_recovery
from mcv.rules.rights import Person
from mcv.transaction.jobs import Job
from mcv.vm import create, live, migrate, power
from tests.fakes.cluster import FakeCluster

SILENCE = "libvirt has not answered on n2 for 9 s"


def hang_at(cluster: FakeCluster, node: str, operation: str) -> None:
    """Let a node's libvirt hang from the first call of an operation on."""

    def spy(caller: str, called: str, name: str) -> None:
        if (called, name) == (node, operation):
            cluster.domains[node].silence = SILENCE

    cluster.spy = spy


def wake(cluster: FakeCluster, node: str) -> None:
    cluster.spy = lambda *_: None
    cluster.domains[node].silence = ""


def test_an_operation_that_only_looked_is_refused(vm: FakeCluster) -> None:
    before = vm.picture()
    vm.domains["n1"].silence = SILENCE

    with pytest.raises(LibvirtSilent):
        vm.run("n1", migrate.migrate, name="web1", to="n2")

    vm.domains["n1"].silence = ""
    assert vm.picture() == before


@pytest.mark.parametrize("operation", ["vm.define", "vm.undefine"])
def test_a_step_on_a_node_whose_libvirt_hangs_is_open_until_it_answers(
    vm: FakeCluster, operation: str
) -> None:
    node = "n2" if operation == "vm.define" else "n1"
    hang_at(vm, node, operation)

    with pytest.raises(OutcomeOpen, match="libvirt has not answered"):
        vm.run("n1", migrate.migrate, name="web1", to="n2")

    [entry] = vm.hosts["n1"].journal.entries()
    assert entry.direction == "forward"
    assert journal_recovery.resume_all(vm.hosts["n1"], patience=False) == []
    claim = vm.read().vm("web1").claim
    assert claim is not None and claim.operation == entry.operation
    wake(vm, node)
    assert journal_recovery.resume_all(vm.hosts["n1"], patience=False) == [entry.title]
    assert vm.read("n2").vm("web1").node == "n2" and vm.read().vm("web1").claim is None
    assert list(vm.domains["n2"].defined) == ["web1"] and not vm.domains["n1"].defined


def test_a_new_vm_waits_for_its_definition(cluster: FakeCluster) -> None:
    hang_at(cluster, "n1", "vm.define")

    with pytest.raises(OutcomeOpen):
        cluster.run("n1", create.create, name="web2", memory="64MiB")

    assert cluster.read().vm("web2").claim is not None
    wake(cluster, "n1")
    journal_recovery.resume_all(cluster.hosts["n1"], patience=False)
    assert cluster.domains["n1"].state("web2") == "stopped"
    assert cluster.read().vm("web2").claim is None


def begun(cluster: FakeCluster, operation: str) -> Job:
    host = cluster.hosts["n1"]
    answer = dispatch.run(
        host, operation, dispatch.row(operation), {"name": "web1"}, Person(name="alice")
    )
    return host.jobs.get(answer["job"])


def until(job: Job, state: str) -> None:
    end = time.monotonic() + 10
    while job.state != state and time.monotonic() < end:
        time.sleep(0.01)
    assert job.state == state


def test_a_start_waits_until_libvirt_answers_and_its_follower_does_not(vm: FakeCluster) -> None:
    vm.domains["n1"].silence = SILENCE

    job = begun(vm, "vm.start")

    assert job.follow(0, 10)["stalled"] == SILENCE
    assert job.plain()["progress"][-1]["what"] == SILENCE
    assert vm.domains["n1"].active == {} and job.state == "running"
    vm.domains["n1"].silence = ""
    until(job, "done")
    assert vm.domains["n1"].active == {"web1": "running"}


def test_a_start_that_waits_for_libvirt_can_be_cancelled(vm: FakeCluster) -> None:
    vm.domains["n1"].silence = SILENCE
    job = begun(vm, "vm.start")
    assert job.follow(0, 10)["stalled"]

    assert job.cancellable
    job.cancelled.set()

    until(job, "failed")
    vm.domains["n1"].silence = ""
    assert vm.domains["n1"].active == {}


def test_a_guest_that_is_waited_for_has_not_ended_because_libvirt_is_silent(
    vm: FakeCluster,
) -> None:
    vm.domains["n1"].start("web1")
    vm.domains["n1"].silence = SILENCE
    threading.Timer(0.2, wake, (vm, "n1")).start()
    threading.Timer(0.6, vm.domains["n1"].stop, ("web1",)).start()

    power.wait_for_end(vm.hosts["n1"], "web1", timeout=20)

    assert not vm.domains["n1"].is_active("web1")


@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_migration_that_a_silent_libvirt_left_open_can_be_cancelled(
    vm: FakeCluster, monkeypatch: pytest.MonkeyPatch, is_resumed: bool
) -> None:
    host, domains = vm.hosts["n1"], vm.domains["n1"]
    vm.run("n1", power.start, name="web1")
    phases: list[str] = []
    aborted = threading.Event()

    def hang(phase: str) -> None:
        phases.append(phase)
        if phase == "moving":
            domains.silence = SILENCE
            assert aborted.wait(20)
            raise HypervisorFailed("operation aborted")

    domains.phase = hang
    monkeypatch.setattr(domains.migration, "abort", lambda name: aborted.set())
    with pytest.raises(OutcomeOpen):
        vm.run("n1", live.migrate, name="web1", to="n2")
    [entry] = host.journal.entries()
    job = host.jobs.get(entry.operation)
    assert job.state == "failed" and job.cancellable

    wake(vm, "n1")
    resuming = threading.Thread(target=journal_recovery.resume_all, args=(host, False))
    if is_resumed:
        resuming.start()
        while not host.jobs.running(entry.operation):
            time.sleep(0.01)
    recovered_jobs.stop_job(host, entry.operation)
    if not is_resumed:
        resuming.start()
    resuming.join(20)

    assert phases == ["begun", "moving"]
    assert (domains.state("web1"), vm.domains["n2"].state("web1")) == ("running", "absent")
    assert vm.read().vm("web1").claim is None and not host.journal.entries()
    error = host.jobs.get(entry.operation).error
    assert error is not None and "it was cancelled, and web1 runs on n1" in error["message"]
    with pytest.raises(Refused, match="has ended already"):
        recovered_jobs.stop_job(host, entry.operation)
