"""What ran when its host went down runs again; what somebody stopped, or crashed, does not."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mcv.cluster import members
from mcv.document.subject import Subject
from mcv.drbd import verify
from mcv.errors import CommandFailed, Failed, McvError, Refused, SystemFailed
from mcv.host import Host
from mcv.recovery import journal_recovery
from mcv.status import vms
from mcv.system import files
from mcv.vm import autostart, change, create, delete, live, migrate, power, register, run_notes
from tests.fakes.cluster import FakeCluster


@pytest.fixture(autouse=True)
def dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address answers for a node that is down."""
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)


def make(cluster: FakeCluster, name: str = "web1", **values: object) -> None:
    cluster.run("n1", create.create, name=name, memory="64MiB", disks=["64MiB"], **values)


def run(cluster: FakeCluster, name: str = "web1", **values: object) -> None:
    make(cluster, name, **values)
    cluster.run("n1", power.start, name=name)


def turn(cluster: FakeCluster, *names: str) -> None:
    """A few rounds of the loops of these nodes."""
    for _ in range(3):
        for name in names or ("n1", "n2"):
            cluster.look(name)
            journal_recovery.resume_all(cluster.hosts[name], patience=False)
            autostart.look_after(cluster.hosts[name])


def reboot(cluster: FakeCluster, name: str = "n1") -> Host:
    host = cluster.reboot(name)
    turn(cluster)
    return host


def noted(cluster: FakeCluster) -> dict[str, list[str]]:
    return {name: run_notes.noted(host) for name, host in cluster.hosts.items()}


def running(cluster: FakeCluster) -> dict[str, list[str]]:
    return {name: sorted(door.active) for name, door in cluster.domains.items()}


# What runs again


def test_what_ran_when_its_host_went_down_runs_again(cluster: FakeCluster) -> None:
    run(cluster)
    make(cluster, "web2")

    reboot(cluster)

    assert running(cluster) == {"n1": ["web1"], "n2": []}
    assert cluster.read().vm("web1").claim is None


def test_a_note_is_there_before_the_domain_starts(cluster: FakeCluster) -> None:
    make(cluster)
    seen: list[list[str]] = []
    cluster.domains["n1"].ran = lambda name: seen.append(noted(cluster)["n1"])

    cluster.run("n1", power.start, name="web1")

    assert seen == [["web1"]]


def test_nothing_is_started_within_one_boot_of_the_host(cluster: FakeCluster) -> None:
    run(cluster)
    cluster.domains["n1"].crash("web1")

    turn(cluster)
    cluster.boot("n1")  # mcvd alone
    turn(cluster)

    assert running(cluster)["n1"] == []
    reboot(cluster)
    assert running(cluster)["n1"] == ["web1"]


def _stop(cluster: FakeCluster) -> None:
    cluster.run("n1", power.stop, name="web1")


def _shut_down(cluster: FakeCluster) -> None:
    cluster.run("n1", power.shutdown, name="web1")


def _shut_down_and_wait(cluster: FakeCluster) -> None:
    cluster.run("n1", power.shutdown, name="web1", wait=True, timeout=5)


def _end_by_itself(cluster: FakeCluster) -> None:
    """Also what `virsh destroy` looks like."""
    cluster.domains["n1"].active.clear()
    turn(cluster)


def _end_while_mcvd_is_away(cluster: FakeCluster) -> None:
    cluster.domains["n1"].active.clear()
    cluster.boot("n1")
    turn(cluster)


@pytest.mark.parametrize(
    "end", [_stop, _shut_down, _shut_down_and_wait, _end_by_itself, _end_while_mcvd_is_away]
)
def test_what_was_stopped_on_purpose_stays_stopped(
    cluster: FakeCluster, end: Callable[[FakeCluster], None]
) -> None:
    run(cluster)
    end(cluster)

    reboot(cluster)

    assert running(cluster)["n1"] == []
    assert noted(cluster) == {"n1": [], "n2": []}


def test_a_guest_that_ends_while_the_host_goes_down_runs_again(cluster: FakeCluster) -> None:
    run(cluster)
    cluster.going_down.add("n1")
    cluster.domains["n1"].active.clear()
    turn(cluster, "n1")

    reboot(cluster)

    assert running(cluster)["n1"] == ["web1"]


def test_where_systemd_does_not_answer_the_note_stays(cluster: FakeCluster) -> None:
    run(cluster)
    cluster.domains["n1"].active.clear()

    def silent() -> bool:
        raise CommandFailed("`systemctl` does not answer.")

    cluster.hosts["n1"].is_going_down = silent

    with pytest.raises(CommandFailed):
        autostart.look_after(cluster.hosts["n1"])
    assert noted(cluster)["n1"] == ["web1"]


def test_a_guest_that_ignores_its_shutdown_runs_again(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(cluster)
    monkeypatch.setattr(cluster.domains["n1"], "shutdown", lambda name: None)
    cluster.run("n1", power.shutdown, name="web1")
    turn(cluster)
    assert run_notes.read(cluster.hosts["n1"], "web1").asked  # type: ignore[union-attr]
    later = time.time() + 200
    monkeypatch.setattr(time, "time", lambda: later)
    turn(cluster)

    reboot(cluster)

    assert running(cluster)["n1"] == ["web1"]


def test_what_was_started_behind_mcv_is_noted_while_it_runs(cluster: FakeCluster) -> None:
    make(cluster)
    cluster.domains["n1"].start("web1")
    turn(cluster)
    assert noted(cluster) == {"n1": ["web1"], "n2": []}


def test_a_disk_without_room_stops_no_start(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make(cluster)

    write = files.write_atomically

    def full(path: Path, text: str, mode: int = 0o600) -> None:
        if "running" in path.parts:
            raise SystemFailed("No space left on device.")
        write(path, text, mode)

    monkeypatch.setattr(files, "write_atomically", full)
    power.start(cluster.hosts["n1"], "web1")
    turn(cluster, "n1")

    assert running(cluster)["n1"] == ["web1"]
    assert "cannot be written: No space left" in caplog.text


def test_a_note_that_cannot_be_read_starts_nothing(cluster: FakeCluster) -> None:
    make(cluster)
    path = run_notes.path(cluster.hosts["n1"], "web1")
    for text in (b"{", b"\xff\xfe", b'{"boot": 3}', b"[]", b'{"boot": "", "since": ""'):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
        reboot(cluster)
        assert running(cluster)["n1"] == []


def test_a_start_that_fails_leaves_no_note(cluster: FakeCluster) -> None:
    make(cluster)
    cluster.domains["n1"].broken.add("start")
    with pytest.raises(McvError):
        cluster.run("n1", power.start, name="web1")
    assert noted(cluster)["n1"] == []


def test_a_start_that_fails_leaves_the_note_of_a_crash(cluster: FakeCluster) -> None:
    run(cluster)
    cluster.domains["n1"].crash("web1")
    cluster.domains["n1"].broken.add("start")
    with pytest.raises(McvError):
        cluster.run("n1", power.start, name="web1")
    assert noted(cluster)["n1"] == ["web1"]


def test_a_start_that_fails_does_not_forget_that_the_guest_was_asked_to_end(
    cluster: FakeCluster,
) -> None:
    run(cluster)
    cluster.run("n1", power.shutdown, name="web1")
    cluster.domains["n1"].broken.add("start")

    with pytest.raises(McvError):
        cluster.run("n1", power.start, name="web1")

    note = run_notes.read(cluster.hosts["n1"], "web1")
    assert note is not None and note.asked > 0


def test_a_mark_of_the_boot_that_cannot_be_read_is_put_aside(cluster: FakeCluster) -> None:
    run(cluster)
    make(cluster, "always", autostart="yes")
    turn(cluster)
    mark = cluster.hosts["n1"].settings.notes / "boot"
    mark.write_bytes(b"\xff\xfe")

    reboot(cluster)

    assert running(cluster)["n1"] == ["web1"]
    assert mark.read_text() == "boot 2" and mark.with_name("boot.unreadable-1").exists()


# Whether and when


def test_autostart_no_and_yes(cluster: FakeCluster) -> None:
    run(cluster, "never", autostart="no")
    make(cluster, "always", autostart="yes")
    run(cluster, "later")
    turn(cluster)  # the first boot of this mcv is marked
    cluster.run("n1", change.update, name="later", autostart="no")

    reboot(cluster)

    assert running(cluster)["n1"] == ["always"]
    cluster.run("n1", power.stop, name="always")
    turn(cluster)
    assert running(cluster)["n1"] == []
    for name in ("never", "later"):
        cluster.run("n1", change.update, name=name, autostart="last")
    turn(cluster)
    assert running(cluster)["n1"] == []
    reboot(cluster)
    assert running(cluster)["n1"] == ["always"]


def test_autostart_yes_starts_what_had_been_asked_to_shut_down(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(cluster, autostart="yes")
    turn(cluster)
    monkeypatch.setattr(cluster.domains["n1"], "shutdown", lambda name: None)
    cluster.run("n1", power.shutdown, name="web1")
    reboot(cluster)
    assert running(cluster)["n1"] == ["web1"]


def test_vms_start_in_order_with_a_pause_after_each(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, order, delay in (("a", 5, 0), ("b", 0, 30), ("c", 5, 0), ("d", 0, 10)):
        run(cluster, name, start_order=order, start_delay=delay)
    now = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    began: list[tuple[str, float]] = []
    first = now[0]
    host = cluster.reboot("n1")
    cluster.look("n1")
    cluster.domains["n1"].ran = lambda name: began.append((name, now[0] - first))

    for _ in range(60):
        autostart.look_after(host)
        now[0] += 1

    assert began == [("b", 0), ("d", 30), ("a", 40), ("c", 40)]


def test_a_start_setting_is_changed_with_or_without_the_definition(cluster: FakeCluster) -> None:
    make(cluster)
    said = cluster.run("n1", change.update, name="web1", start_order=3, start_delay=20)
    assert said.said == "start order 3, start delay 20" and not said.active
    said = cluster.run("n1", change.update, name="web1", cpus=3, autostart="yes")
    assert said.said == "3 CPUs, autostart yes"

    vm = cluster.read("n2").vm("web1")
    assert (vm.autostart, vm.start_order, vm.start_delay, vm.cpus) == ("yes", 3, 20, 3)
    assert vm.claim is None
    row = vms.list_(cluster.hosts["n2"])[0]
    assert row.autostart == "yes"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"autostart": "maybe"}, "--autostart maybe makes no sense"),
        ({"start_order": -1}, "--start-order -1 makes no sense"),
        ({"start_delay": 99999}, "--start-delay 99999 makes no sense"),
    ],
)
def test_what_makes_no_sense_is_refused(
    cluster: FakeCluster, values: dict[str, object], said: str
) -> None:
    make(cluster)
    before = cluster.picture()
    for refused in (
        lambda: cluster.run("n1", change.update, name="web1", **values),
        lambda: make(cluster, "web2", **values),
    ):
        with pytest.raises(Refused, match=said):
            refused()
    assert cluster.picture() == before


# What cannot start


def test_what_cannot_start_says_why_until_it_can(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(cluster)
    run(cluster, "web2", start_order=1)
    cluster.domains["n1"].broken.add("web1")
    now = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    reboot(cluster)

    assert running(cluster)["n1"] == ["web2"]
    told = {row.name: row.attention for row in vms.list_(cluster.hosts["n2"])}
    assert "web1 is to start again on n1, and cannot yet" in str(told["web1"])
    assert "it is broken" in str(told["web1"]) and told["web2"] is None
    cluster.domains["n1"].broken.clear()
    turn(cluster)
    assert running(cluster)["n1"] == ["web2"]
    now[0] += 60
    turn(cluster)
    assert running(cluster)["n1"] == ["web1", "web2"]
    assert vms.list_(cluster.hosts["n2"])[0].attention is None


def test_a_vm_whose_lock_is_held_holds_up_no_start_behind_it(cluster: FakeCluster) -> None:
    run(cluster, start_order=1)
    run(cluster, "web2", start_order=2)
    host = cluster.reboot("n1")
    cluster.look("n1")

    with host.hold(Subject.vm("web1"), "start web1 by hand"):
        began = time.monotonic()
        autostart.look_after(host)
        took = time.monotonic() - began
        why = host.start_attempts["web1"].why

    assert running(cluster)["n1"] == ["web2"] and took < 10
    assert why.startswith("web1 is busy: start web1 by hand since")


def test_what_cannot_start_is_given_up_by_a_stop(cluster: FakeCluster) -> None:
    run(cluster)
    cluster.domains["n1"].broken.add("start")
    reboot(cluster)
    assert vms.list_(cluster.hosts["n1"])[0].attention is not None

    cluster.run("n1", power.stop, name="web1")

    cluster.domains["n1"].broken.clear()
    turn(cluster)
    assert running(cluster)["n1"] == []
    assert vms.list_(cluster.hosts["n1"])[0].attention is None
    with pytest.raises(Refused, match="does not run"):
        cluster.run("n1", power.stop, name="web1")


def test_a_failed_verification_is_a_reason(cluster: FakeCluster) -> None:
    run(cluster)
    cluster.world.out_of_sync["mcv-web1-1"] = 4096
    cluster.run("n1", verify.verify, name="web1")

    reboot(cluster)

    assert running(cluster)["n1"] == []
    assert "verification of web1 failed" in str(vms.list_(cluster.hosts["n1"])[0].findings)
    cluster.run("n1", power.start, name="web1", ignore_verify=True)
    turn(cluster)
    assert cluster.hosts["n1"].start_attempts == {}


def test_nothing_starts_before_the_node_is_in_contact(cluster: FakeCluster) -> None:
    run(cluster)
    cluster.down.add("n2")

    host = cluster.reboot("n1")
    turn(cluster, "n1")

    assert running(cluster)["n1"] == []
    assert "has not heard from n2" in host.start_attempts["web1"].why
    cluster.down.clear()
    host.start_attempts.clear()
    turn(cluster)
    assert running(cluster)["n1"] == ["web1"]


def test_nothing_starts_while_the_host_goes_down(cluster: FakeCluster) -> None:
    run(cluster)
    cluster.reboot("n1")
    cluster.going_down.add("n1")

    turn(cluster)

    assert running(cluster)["n1"] == []
    reboot(cluster)
    assert running(cluster)["n1"] == ["web1"]


def test_a_locked_vm_does_not_start_by_itself(cluster: FakeCluster) -> None:
    run(cluster)
    cluster.run("n1", change.lock, name="web1")
    reboot(cluster)
    assert running(cluster)["n1"] == []
    assert "locked" in cluster.hosts["n1"].start_attempts["web1"].why


# Notes move with their VMs


def test_a_vm_that_moved_live_runs_again_where_it_went(cluster: FakeCluster) -> None:
    run(cluster)
    seen: list[list[str]] = []
    cluster.domains["n2"].ran = lambda name: seen.append(noted(cluster)["n2"])

    cluster.run("n1", live.migrate, name="web1", to="n2")

    assert seen == [["web1"]]
    assert noted(cluster) == {"n1": [], "n2": ["web1"]}
    reboot(cluster, "n1")
    assert running(cluster) == {"n1": [], "n2": ["web1"]}
    reboot(cluster, "n2")
    assert running(cluster) == {"n1": [], "n2": ["web1"]}


def test_a_live_migration_that_fails_leaves_the_note_where_the_vm_is(cluster: FakeCluster) -> None:
    run(cluster)
    cluster.domains["n2"].broken.add("resume")
    with pytest.raises(Failed):
        cluster.run("n1", live.migrate, name="web1", to="n2")
    turn(cluster)
    assert noted(cluster)["n2"] == []


@pytest.mark.parametrize("starts", [False, True])
def test_a_vm_that_moved_stopped_starts_only_as_its_move_says(
    cluster: FakeCluster, starts: bool
) -> None:
    run(cluster)
    cluster.run("n1", power.stop, name="web1")

    cluster.run("n1", migrate.migrate, name="web1", to="n2", start_after_migration=starts)

    assert noted(cluster) == {"n1": [], "n2": ["web1"] if starts else []}
    reboot(cluster, "n2")
    assert running(cluster) == {"n1": [], "n2": ["web1"] if starts else []}


def test_a_vm_that_crashed_and_moved_is_not_started_by_its_old_note(cluster: FakeCluster) -> None:
    run(cluster)
    cluster.domains["n1"].crash("web1")
    cluster.run("n1", migrate.migrate, name="web1", to="n2")
    assert noted(cluster) == {"n1": [], "n2": []}


def _lose_n1(cluster: FakeCluster) -> None:
    """n1 is dead with web1 running, declared so, and web1 belongs to n2."""
    run(cluster)
    for name in ("n1", "n2"):
        cluster.hosts[name].observations.see_in_step("mcv-web1-1")
    cluster.hosts["n2"].observations.hear("n1")
    cluster.domains["n1"].power_off()
    cluster.down.add("n1")
    cluster.run("n2", members.offline, names=["n1"], confirm_dead=True)
    cluster.run("n2", register.register, name="web1", accept_stale=True)


def _boot_n1(cluster: FakeCluster) -> None:
    """n1 is there again, and online."""
    cluster.down.discard("n1")
    host = cluster.reboot("n1")
    cluster.look("n1")
    members.come_back(host)
    for name in ("n1", "n2"):
        cluster.look(name)


def test_a_takeover_starts_nothing_and_voids_the_note_of_the_dead(cluster: FakeCluster) -> None:
    _lose_n1(cluster)
    turn(cluster, "n2")
    assert noted(cluster)["n2"] == []

    _boot_n1(cluster)
    turn(cluster)

    assert running(cluster) == {"n1": [], "n2": []}
    assert noted(cluster) == {"n1": [], "n2": []}


def test_a_vm_that_comes_home_is_not_started_by_the_note_it_left(cluster: FakeCluster) -> None:
    """Its old owner had no time to void the note before the VM was moved back."""
    _lose_n1(cluster)
    _boot_n1(cluster)
    cluster.domains["n1"].undefine("web1")
    assert noted(cluster)["n1"] == ["web1"]
    for door in cluster.drbd.values():
        door.connect("mcv-web1-1")
    cluster.run("n2", migrate.migrate, name="web1", to="n1")

    turn(cluster)

    assert running(cluster) == {"n1": [], "n2": []}


def test_a_node_declared_dead_whose_vms_stayed_its_own_starts_them(cluster: FakeCluster) -> None:
    run(cluster)
    cluster.domains["n1"].power_off()
    cluster.down.add("n1")
    cluster.run("n2", members.offline, names=["n1"], confirm_dead=True)
    _boot_n1(cluster)

    turn(cluster)

    assert running(cluster)["n1"] == ["web1"]


def test_a_node_in_maintenance_starts_nothing(cluster: FakeCluster) -> None:
    run(cluster)
    cluster.domains["n1"].power_off()
    cluster.down.add("n1")
    cluster.run("n2", members.offline, names=["n1"], confirm_dead=True)
    cluster.down.discard("n1")
    cluster.reboot("n1")
    turn(cluster)
    assert running(cluster)["n1"] == []
    assert "n1 is offline in the document" in cluster.hosts["n1"].start_attempts["web1"].why


def test_deleting_and_unregistering_take_the_note_away(cluster: FakeCluster) -> None:
    run(cluster)
    cluster.domains["n1"].crash("web1")
    cluster.run("n1", register.unregister, name="web1")
    assert noted(cluster)["n1"] == []
    cluster.run("n1", register.register, name="web1")
    cluster.run("n1", power.start, name="web1")
    cluster.domains["n1"].crash("web1")
    cluster.run("n1", delete.delete, name="web1")
    assert noted(cluster)["n1"] == []


def test_a_start_that_the_daemon_did_not_survive_is_made_after_a_reboot_and_not_before(
    cluster: FakeCluster,
) -> None:
    make(cluster)

    def die(name: str) -> None:
        raise SystemExit

    cluster.domains["n1"].start = die  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        cluster.run("n1", power.start, name="web1")
    del cluster.domains["n1"].start
    assert noted(cluster)["n1"] == ["web1"]

    reboot(cluster)

    assert running(cluster)["n1"] == ["web1"]
