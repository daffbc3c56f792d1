"""Live migration in one process: who runs what after each way that it can end."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mcv.cluster import members
from mcv.drbd import notes
from mcv.errors import (
    CallLost,
    Failed,
    HypervisorFailed,
    McvError,
    PeerUnreachable,
    Refused,
    RepairNeeded,
    SystemFailed,
)
from mcv.host import Host
from mcv.recovery import claims, journal_recovery
from mcv.system.stream_guard import NotLetThrough
from mcv.transaction.plan import commit_point, steps_of
from mcv.vm import arrivals, create, disk_closing, live, migrate, migration_tunnel, plans, power
from mcv.vm.answers import Stopped
from tests.documents import vm
from tests.fakes.cluster import FakeCluster

RESOURCE = "mcv-web1-1"


@pytest.fixture
def running(cluster: FakeCluster) -> FakeCluster:
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])
    cluster.run("n1", power.start, name="web1")
    return cluster


def states(cluster: FakeCluster) -> tuple[str, str]:
    return cluster.domains["n1"].state("web1"), cluster.domains["n2"].state("web1")


def roles(cluster: FakeCluster) -> tuple[str, str]:
    sides = cluster.world.replicas[RESOURCE]
    return sides["n1"].role, sides["n2"].role


def is_closed(cluster: FakeCluster) -> bool:
    """No side may be primary beside the other, nothing is claimed or left to do."""
    return (
        not any(door.two_primaries for door in cluster.drbd.values())
        and cluster.read().vm("web1").claim is None
        and not any(list(host.journal.entries()) for host in cluster.hosts.values())
    )


def move(cluster: FakeCluster) -> None:
    cluster.run("n1", live.migrate, name="web1", to="n2")


def fail_at(phase: str) -> Callable[[str], None]:
    def fail(now: str) -> None:
        if now == phase:
            raise HypervisorFailed("Could not migrate web1: the way broke off.")

    return fail


def on_call(operation: str, error: Exception) -> Callable[[str, str, str], None]:
    def spy(caller: str, node: str, asked: str) -> None:
        if asked == operation:
            raise error

    return spy


def quiet(caller: str, node: str, asked: str) -> None:
    pass


def test_waking_settles_it_and_the_sides_are_closed_last() -> None:
    plan = plans.live_plan(vm(), "n2")

    [settles] = steps_of(plan[commit_point(plan)])
    assert str(settles.do) == "n2: vm.resume_target name=web1"
    assert settles.seen is not None and settles.seen.node == "n2"
    assert [str(step.do).split()[1] for step in steps_of(plan[-2])] == ["drbd.one_primary"] * 2


def test_it_runs_on_the_other_node_which_owns_it_and_is_primary_alone(
    running: FakeCluster,
) -> None:
    move(running)

    assert states(running) == ("absent", "running")
    assert running.read("n2").vm("web1").node == "n2"
    assert roles(running) == ("Secondary", "Primary")
    assert is_closed(running)


@pytest.mark.parametrize("phase", ["begun", "moving"])
def test_one_that_fails_on_the_way_runs_on_where_it_was(running: FakeCluster, phase: str) -> None:
    running.domains["n1"].phase = fail_at(phase)

    with pytest.raises(Failed, match=r"was undone: .*the way broke off"):
        move(running)

    assert states(running) == ("running", "absent")
    assert running.read().vm("web1").node == "n1"
    assert roles(running) == ("Primary", "Secondary")
    assert is_closed(running)


def test_an_arrival_whose_source_runs_on_is_taken_away_and_never_woken(
    running: FakeCluster,
) -> None:
    running.domains["n1"].phase = fail_at("arrived")

    with pytest.raises(Failed):
        move(running)

    assert states(running) == ("running", "absent")
    assert is_closed(running)


def test_an_end_that_was_told_as_a_failure_is_an_end(running: FakeCluster) -> None:
    def end(now: str) -> None:
        if now == "arrived":
            running.domains["n1"].active.pop("web1")
            raise HypervisorFailed("Could not migrate web1: nobody heard the last word.")

    running.domains["n1"].phase = end

    move(running)

    assert states(running) == ("absent", "running")
    assert is_closed(running)


def test_a_domain_that_ended_on_the_way_has_one_owner_and_runs_nowhere(
    running: FakeCluster,
) -> None:
    def end(now: str) -> None:
        if now == "moving":
            running.domains["n1"].active.pop("web1")
            raise HypervisorFailed("Could not migrate web1: the domain is gone.")

    running.domains["n1"].phase = end

    with pytest.raises(Failed, match="did not arrive"):
        move(running)

    assert states(running) == ("stopped", "absent")
    assert running.read().vm("web1").node == "n1" and is_closed(running)
    disk_closing.reconcile(running.hosts["n1"])
    assert roles(running) == ("Secondary", "Secondary")


def test_a_stop_on_the_way_tells_of_the_migration_which_is_undone(running: FakeCluster) -> None:
    told: list[Stopped] = []

    def stop(caller: str, node: str, asked: str) -> None:
        if asked == "vm.send" and not told:
            told.append(running.run("n1", power.stop, name="web1"))

    running.spy = stop

    with pytest.raises(Failed, match="did not arrive"):
        move(running)

    assert told[0].state == "stopped"
    assert told[0].meanwhile.startswith("migrate web1 to n2, live is under way (job ")
    assert "mcv job wait" in told[0].meanwhile
    assert states(running) == ("stopped", "absent")
    assert running.read().vm("web1").node == "n1" and is_closed(running)


@pytest.mark.parametrize(
    "error", [CallLost("n2 broke off."), PeerUnreachable("n2 does not answer.")]
)
def test_while_nobody_knows_whether_it_was_woken_it_goes_neither_way(
    running: FakeCluster, error: Exception
) -> None:
    running.spy = on_call("vm.resume_target", error)
    with pytest.raises(RepairNeeded):
        move(running)
    assert states(running) == ("stopped", "paused")
    assert running.read().vm("web1").claim is not None

    running.spy = quiet
    assert journal_recovery.resume_all(running.hosts["n1"], patience=False)

    assert states(running) == ("absent", "running")
    assert running.read().vm("web1").node == "n2" and is_closed(running)


def test_an_answer_to_the_waking_that_was_lost_is_found_out(running: FakeCluster) -> None:
    running.answered = on_call("vm.resume_target", CallLost("n2 broke off."))
    with pytest.raises(RepairNeeded):
        move(running)
    assert states(running) == ("stopped", "running")
    running.answered = quiet
    running.spy = on_call("vm.resume_target", PeerUnreachable("n2 does not answer."))
    journal_recovery.resume_all(running.hosts["n1"], patience=False)
    assert states(running) == ("stopped", "running")

    running.spy = quiet
    journal_recovery.resume_all(running.hosts["n1"], patience=False)

    assert states(running) == ("absent", "running")
    assert running.read().vm("web1").node == "n2" and is_closed(running)


@pytest.mark.parametrize(
    ("lost", "owner", "there"),
    [
        ("woken", "n2", "running"),
        ("woken, and paused when a disk failed", "n2", "paused"),
        ("before", "n1", "absent"),
    ],
)
def test_who_takes_over_from_a_dead_source_asks_the_other_side(
    running: FakeCluster, lost: str, owner: str, there: str
) -> None:
    error = CallLost("n2 broke off.")
    if lost == "before":
        running.spy = on_call("vm.resume_target", error)
    else:
        running.answered = on_call("vm.resume_target", error)
    with pytest.raises(RepairNeeded):
        move(running)
    running.answered = running.spy = quiet
    if there == "paused":
        running.domains["n2"].fail_disk("web1")
    running.down.add("n1")
    running.domains["n1"].active.clear()
    host = running.hosts["n2"]
    host.consensus.declare(["n1"], id="dead", who="alice", why="power is off", alive=list)

    claims.take_over_all(host)

    assert running.domains["n2"].state("web1") == there
    found = running.read("n2").vm("web1")
    assert (found.node, found.claim) == (owner, None)
    assert list(host.journal.entries()) == []


def test_a_witness_that_is_not_understood_sends_no_takeover_forward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)
    three = FakeCluster(tmp_path, ("n1", "n2", "n3"))
    disk = {"disks": ["64MiB"], "nodes": ["n1", "n2"]}
    three.run("n1", create.create, name="web1", memory="64MiB", **disk)
    three.run("n1", power.start, name="web1")
    three.spy = on_call("vm.resume_target", CallLost("n2 broke off."))
    with pytest.raises(RepairNeeded):
        move(three)
    three.spy = quiet
    three.down.add("n1")
    three.domains["n1"].active.clear()
    host = three.hosts["n3"]
    host.consensus.declare(["n1"], id="dead", who="alice", why="power is off", alive=list)
    three.bend = lambda node, asked, answer: "no" if asked == "vm.has_arrived" else answer

    [left] = claims.take_over_all(host).left

    assert "does not understand what n2 answered to vm.has_arrived" in left.trouble
    assert three.domains["n2"].state("web1") == "paused"
    three.bend = lambda node, asked, answer: answer
    assert claims.take_over_all(host).left == []
    found = three.read("n2").vm("web1")
    assert (found.node, found.claim) == ("n1", None)
    assert three.domains["n2"].state("web1") == "absent"


def test_what_the_other_node_lacks_may_not_be_understood(running: FakeCluster) -> None:
    running.bend = lambda node, operation, answer: [1] if operation == "vm.fits" else answer

    with pytest.raises(Refused, match=r"n2 is needed: .* does not understand"):
        move(running)


def test_a_guest_that_ends_after_its_arrival_has_arrived(running: FakeCluster) -> None:
    running.answered = on_call("vm.resume_target", CallLost("n2 broke off."))
    with pytest.raises(RepairNeeded):
        move(running)
    running.answered = quiet
    running.domains["n2"].stop("web1")

    assert journal_recovery.resume_all(running.hosts["n1"], patience=False)

    assert states(running) == ("absent", "stopped")
    assert running.read().vm("web1").node == "n2"


def test_an_arrival_runs_on_although_its_note_cannot_be_removed(
    running: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(host: Host, name: str) -> None:
        raise SystemFailed("The file system is read-only.")

    monkeypatch.setattr(arrivals, "forget", fail)

    move(running)

    assert states(running) == ("absent", "running") and is_closed(running)


def test_it_may_be_cancelled_and_outlives_who_typed_it(running: FakeCluster) -> None:
    host = running.hosts["n1"]
    seen = []

    def look(phase: str) -> None:
        time.sleep(0.05)
        (job,) = [one for one in host.jobs.listed() if one["state"] == "running"]
        seen.append((phase, job["cancellable"], job["waits"]))

    running.domains["n1"].phase = look
    move(running)

    assert ("moving", True, False) in seen
    assert not host.jobs.listed()[-1]["cancellable"]


def test_a_look_that_fails_cuts_no_migration_off(
    running: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    def look(name: str) -> None:
        if phases:
            looks.append(name)
            raise HypervisorFailed("Could not look at web1: domain is not running.")

    phases: list[str] = []
    monkeypatch.setattr(running.domains["n1"].migration, "movement", look)

    def slow(phase: str) -> None:
        phases.append(phase)
        if phase == "moving":
            time.sleep(3 * live.POLL)

    running.domains["n1"].phase = slow

    move(running)

    assert looks and states(running) == ("absent", "running") and is_closed(running)


def test_going_over_a_failed_verification_that_only_a_note_tells_of_is_recorded(
    running: FakeCluster,
) -> None:
    notes.write(running.hosts["n1"].settings.notes, RESOURCE, "out-of-sync", when="")
    with pytest.raises(Refused, match="The last verification of web1 failed"):
        move(running)

    running.run("n1", live.migrate, name="web1", to="n2", ignore_verify=True)

    override = running.read("n2").vm("web1").override
    assert override is not None and (override.who, override.what) == ("alice", "migrate")


def test_all_that_stands_in_the_way_is_told_at_once(running: FakeCluster) -> None:
    running.domains["n2"].free = 1
    running.domains["n2"].broken.add("cpu")

    with pytest.raises(Refused) as refused:
        move(running)

    said = str(refused.value) + str(refused.value.problems)
    assert "memory free" in said and "its CPU lacks" in said
    assert states(running) == ("running", "absent") and is_closed(running)


def test_what_does_not_run_is_not_moved_online(running: FakeCluster) -> None:
    running.run("n1", power.stop, name="web1")

    with pytest.raises(Refused, match="stopped, and only a VM that runs moves online"):
        move(running)


@pytest.mark.parametrize("rate", ["fast", "1KiB"])
def test_a_bandwidth_that_makes_no_sense_is_refused(running: FakeCluster, rate: str) -> None:
    with pytest.raises(Refused):
        running.run("n1", live.migrate, name="web1", to="n2", bandwidth=rate)


def test_a_paused_domain_that_a_cut_off_migration_left_goes_on(running: FakeCluster) -> None:
    running.domains["n1"].active["web1"] = "paused"
    host = running.hosts["n1"]

    with pytest.raises(HypervisorFailed, match="cut off; it runs on here"):
        live.send(host, "web1", "n2")

    assert states(running) == ("running", "absent")


def test_a_stranger_to_the_claim_is_led_nowhere(running: FakeCluster) -> None:
    host = running.hosts["n2"]
    running.hosts["n1"].update("vm.claim", "", name="web1", why="migrate")
    with pytest.raises(Refused, match="n2 expects no web1 of n1"):
        migration_tunnel.target(host, "n1", {"vm": "web1", "for": "libvirt"})
    arrivals.expect(host, "web1")

    assert (
        migration_tunnel.target(host, "n1", {"vm": "web1", "for": "memory"}).path.name
        == "mcv.tunnelmigrate.dest.web1"
    )
    granted = migration_tunnel.target(host, "n1", {"vm": "web1", "for": "libvirt"})
    assert "libvirt" in str(granted.path)
    with pytest.raises(NotLetThrough):
        granted.guard(b"\0" * 28)
    for who, asked in (
        ("n2", {"vm": "web1", "for": "libvirt"}),
        ("n1", {"vm": "web2", "for": "libvirt"}),
        ("n1", {"vm": "web1", "for": "the shell"}),
        ("n1", {}),
    ):
        with pytest.raises(McvError):
            migration_tunnel.target(host, who, asked)


def test_an_arrival_is_expected_for_one_operation_and_as_long_as_that_lasts(
    running: FakeCluster,
) -> None:
    source, host = running.hosts["n1"], running.hosts["n2"]
    asked = {"vm": "web1", "for": "libvirt"}

    def make(change: str, operation: str, **params: str) -> None:
        source.consensus.propose(change, {"name": "web1", **params}, id=operation, who="a", why="")

    make("vm.claim", "job1.1", why="migrate")
    arrivals.expect(host, "web1")
    with pytest.raises(Refused, match="No other node can send web1 to n1"):
        arrivals.expect(source, "web1")
    arrivals.forget_over(host)
    assert migration_tunnel.target(host, "n1", asked)

    make("vm.release", "job1.2")
    make("vm.claim", "job2.1", why="another")

    with pytest.raises(Refused, match="no claim on web1 for which it is expected"):
        migration_tunnel.target(host, "n1", asked)
    arrivals.forget_over(host)
    assert not list(host.settings.notes.glob("*"))


def test_a_migration_leaves_no_arrival_expected(running: FakeCluster) -> None:
    running.domains["n1"].phase = fail_at("moving")
    with pytest.raises(Failed):
        move(running)
    assert arrivals.read(running.hosts["n2"], "web1") is None
    running.domains["n1"].phase = lambda phase: None

    move(running)

    assert arrivals.read(running.hosts["n2"], "web1") is None


@pytest.mark.parametrize("torn", [b'{"name":"web1","source":', b"\xff\xfe"])
def test_a_torn_note_expects_nothing(running: FakeCluster, torn: bytes) -> None:
    host = running.hosts["n2"]
    running.hosts["n1"].update("vm.claim", "", name="web1", why="migrate")
    arrivals.expect(host, "web1")
    path = host.settings.notes / "web1.arrival.json"
    path.write_bytes(torn)

    with pytest.raises(Refused, match="expects no web1"):
        migration_tunnel.target(host, "n1", {"vm": "web1", "for": "libvirt"})
    arrivals.forget_over(host)

    assert not path.exists()


def test_no_other_node_names_an_emulator_to_run(running: FakeCluster) -> None:
    """libvirt runs the emulator of a domain to learn what it can."""
    here = running.domains["n2"]
    asked: list[str] = []
    here.why_not_host = lambda xml: asked.append(xml) or ""  # type: ignore[func-returns-value, method-assign]
    xml = running.domains["n1"].xml("web1")
    evil = xml.replace("/usr/bin/qemu-system-x86_64", "/var/tmp/evil")

    [(said, _)] = migrate.fits(running.hosts["n2"], "web1", 1, [], xml=evil)
    assert "/var/tmp/evil" in said and asked == []
    assert migrate.fits(running.hosts["n2"], "web1", 1, [], xml=xml) == [] and asked == [xml]
