"""A disk of a running VM moves, and every byte that its guest wrote is there.

The guest writes whenever QEMU or libvirt is looked at, while it runs.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcv.cluster import members
from mcv.document.pools import DEFAULT_LOCATION
from mcv.drbd import resync
from mcv.errors import Failed, McvError, Refused, RepairNeeded
from mcv.recovery import claims, journal_recovery
from mcv.storage.pieces import PIECE
from mcv.vm import create, disk_mirror, disk_move, mirror_notes, power
from mcv.vm.mirror_notes import MirrorNote
from tests.deaths.narration import sample
from tests.fakes.blocks import Pieces
from tests.fakes.cluster import FakeCluster
from tests.fakes.process_killer import ProcessKiller, until_quiet

MIB = 1024**2
DATA = {0: b"boot", PIECE: b"data", 7 * PIECE: b"the end"}
KINDS = ("file", "lvm", "drbd")
PAIRS = [(a, b) for a in KINDS for b in KINDS if a != b]


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_mirror, "POLL", 0.001)


def run(cluster: FakeCluster, storage: str) -> None:
    options = {"memory": "64MiB", "disks": ["64MiB"], "storage": storage}
    cluster.run("n1", create.create, name="web1", **options)
    cluster.run("n1", power.start, name="web1")
    pieces(cluster).update(DATA)


def pieces(cluster: FakeCluster) -> Pieces:
    """The bytes of disk 1 of web1."""
    disk = cluster.read().vm("web1").disk(1)
    if disk.storage == "drbd":
        return cluster.devices.setdefault(disk.volume, {})
    where = DEFAULT_LOCATION if disk.storage == "file" else "/dev/vg0"
    return cluster.blocks["n1"].pieces(f"{where}/{disk.volume}")


def volumes(cluster: FakeCluster, node: str) -> list[str]:
    return [*cluster.lvm[node].made, *cluster.directories[node].made[DEFAULT_LOCATION]]


def move(cluster: FakeCluster, storage: str, **options: Any) -> Any:
    return cluster.run("n1", disk_move.move, name="web1", disk=1, storage=storage, **options)


def is_whole(cluster: FakeCluster, kind: str) -> bool:
    """Whether web1 has its only disk, of a kind, with every byte, and nothing else is left."""
    (disk,) = cluster.read().vm("web1").disks
    there = ["n1", "n2"] if kind == "drbd" else ["n1"]
    assert (disk.id, disk.storage, disk.size, disk.mirror_of) == (1, kind, 64 * MIB, 0)
    assert pieces(cluster) == DATA | cluster.written
    for node in ("n1", "n2"):
        assert volumes(cluster, node) == ([disk.volume] if node in there else [])
        assert list(cluster.drbd[node].statuses()) == ([disk.volume] if kind == "drbd" else [])
    assert cluster.hosts["n1"].domains.xml("web1").count('device="disk"') == 1
    assert mirror_notes.noted(cluster.hosts["n1"]) == []
    assert cluster.read().vm("web1").claim is None
    return True


def source(cluster: FakeCluster) -> str:
    return cluster.domains["n1"].mirrors.source("web1", "vda")


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_a_disk_moves_while_its_guest_writes(cluster: FakeCluster, old: str, new: str) -> None:
    run(cluster, old)

    moved = move(cluster, new)

    assert moved.storage == new and is_whole(cluster, new) and cluster.written
    vm = cluster.read().vm("web1")
    assert vm.disk(1).volume in source(cluster) or new == "drbd"
    assert cluster.domains["n1"].state("web1") == "running"
    if new == "drbd":
        status = cluster.drbd["n1"].statuses()[vm.disk(1).volume]
        assert status.is_primary and status.connected and status.both_up_to_date
    cluster.run("n1", power.stop, name="web1")
    cluster.run("n1", power.start, name="web1")


def test_a_replica_that_is_mirrored_to_has_no_peer_that_could_be_promoted(
    cluster: FakeCluster,
) -> None:
    run(cluster, "file")
    seen: list[str] = []

    def look(phase: str) -> None:
        status = cluster.drbd["n2"].statuses()["mcv-web1-2"]
        seen.append(f"{phase}: {status.disk}, {'' if status.connected else 'not '}connected")

    cluster.domains["n1"].mirrors.phase = look
    move(cluster, "drbd")

    states = ("mirror begun", "mirror is to end", "mirror has ended")
    assert seen == [f"{state}: Outdated, not connected" for state in states]


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_a_volume_without_room_leaves_the_old_disk_in_use(
    cluster: FakeCluster, old: str, new: str
) -> None:
    run(cluster, old)
    cluster.domains["n1"].mirrors.full.add("web1")

    with pytest.raises(Failed, match="QEMU has ended the mirror of disk 1 of web1"):
        move(cluster, new)

    assert is_whole(cluster, old) and cluster.domains["n1"].state("web1") == "running"


def test_a_move_is_cancelled_while_it_is_mirrored(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(cluster, "file")
    mirrors = cluster.domains["n1"].mirrors
    mirrors.phase = lambda phase: cluster.job("n1").cancelled.set()

    with pytest.raises(Failed) as failed:
        move(cluster, "lvm")

    assert "cancelled" in failed.value.message
    assert is_whole(cluster, "file") and mirrors.at_work == {}


def test_a_guest_that_ends_in_the_middle_takes_the_move_back(cluster: FakeCluster) -> None:
    run(cluster, "file")
    cluster.domains["n1"].mirrors.phase = lambda phase: cluster.domains["n1"].crash("web1")

    with pytest.raises(Failed, match="web1 has ended while its disk was to be moved"):
        move(cluster, "drbd")

    assert is_whole(cluster, "file")


def test_a_vm_is_stopped_while_its_disk_is_mirrored(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(cluster, "file")
    mirrors = cluster.domains["n1"].mirrors
    stopped: list[Any] = []
    seen = mirrors.seen

    def look(name: str, target: str) -> Any:
        found = seen(name, target)
        if found is not None and not stopped:
            stopped.append(cluster.run("n1", power.stop, name="web1"))
        return found

    monkeypatch.setattr(mirrors, "seen", look)
    with pytest.raises(Failed, match="web1 has ended"):
        move(cluster, "lvm")

    assert stopped[0].state == "stopped" and is_whole(cluster, "file")


def test_a_guest_that_stood_still_stands_still_afterwards(cluster: FakeCluster) -> None:
    run(cluster, "file")
    cluster.domains["n1"].pause("web1")

    move(cluster, "lvm")

    assert cluster.domains["n1"].state("web1") == "paused"
    assert is_whole(cluster, "lvm")


def test_a_pivot_that_fails_lets_the_guest_run_on_and_is_tried_again(
    cluster: FakeCluster,
) -> None:
    run(cluster, "file")
    cluster.domains["n1"].broken.add("pivot")

    with pytest.raises(RepairNeeded, match="pivot"):
        move(cluster, "lvm")

    assert cluster.domains["n1"].state("web1") == "running"
    disk = cluster.read().vm("web1").disk(1)
    assert (disk.storage, disk.mirror_of) == ("lvm", 2) and DEFAULT_LOCATION in source(cluster)
    cluster.domains["n1"].broken.clear()
    journal_recovery.resume_all(cluster.hosts["n1"], patience=False)
    assert is_whole(cluster, "lvm")


def half_way(cluster: FakeCluster, old: str, new: str) -> None:
    """The document has the new disk, and the domain writes to the old one."""
    run(cluster, old)
    cluster.domains["n1"].broken.add("pivot")
    with pytest.raises(RepairNeeded):
        move(cluster, new)
    cluster.domains["n1"].broken.clear()


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_where_qemu_ends_before_it_went_over_the_old_disk_is_copied(
    cluster: FakeCluster, old: str, new: str
) -> None:
    half_way(cluster, old, new)
    cluster.domains["n1"].mirrors.guest_writes("web1")
    assert pieces(cluster) != DATA | cluster.written  # the mirror lacks the guest's last writes
    pieces(cluster)[5 * PIECE] = b"what has been zeroed since"
    cluster.domains["n1"].crash("web1")

    with pytest.raises(McvError):
        cluster.run("n1", power.start, name="web1")
    journal_recovery.resume_all(cluster.hosts["n1"], patience=False)

    assert is_whole(cluster, new)
    cluster.run("n1", power.start, name="web1")


def test_a_note_that_is_unreadable_says_of_no_volume_that_it_is_whole(
    cluster: FakeCluster,
) -> None:
    half_way(cluster, "file", "lvm")
    cluster.domains["n1"].mirrors.guest_writes("web1")
    cluster.domains["n1"].crash("web1")
    (path,) = cluster.hosts["n1"].settings.notes.glob("*.mirror.json")
    path.write_text("no JSON")

    journal_recovery.resume_all(cluster.hosts["n1"], patience=False)

    assert is_whole(cluster, "lvm")


@pytest.mark.parametrize("ends", [False, True])
def test_a_move_that_was_given_up_is_ended_by_the_owner_itself(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    half_way(cluster, "file", "lvm")
    if ends:
        cluster.domains["n1"].crash("web1")
    monkeypatch.setattr(journal_recovery, "resume_all", lambda *_, **__: [])
    cluster.run("n1", claims.clear_lock, name="web1")
    monkeypatch.undo()
    assert cluster.read().vm("web1").claim is None

    with pytest.raises(Refused, match="Disk 1 of web1 was being moved on n1") as refused:
        move(cluster, "file")
    assert refused.value.hint == "n1 ends the move by itself: mcv job list"
    if ends:
        with pytest.raises(Refused, match="Disk 1 of web1 was being moved on n1"):
            cluster.run("n1", power.start, name="web1")
    until_quiet(cluster)

    assert is_whole(cluster, "lvm")


def test_what_a_forgotten_move_has_left_is_ended(cluster: FakeCluster) -> None:
    run(cluster, "file")
    host = cluster.hosts["n1"]
    mirror_notes.write(host, "web1", MirrorNote(volume="mcv-web1-2"))
    (disk,) = cluster.read().vm("web1").disks

    disk_mirror.reconcile(host)

    assert mirror_notes.noted(host) == [] and disk.mirror_of == 0


def test_the_old_disk_stays_until_the_peer_has_every_byte(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(cluster, "file")
    monkeypatch.setattr(resync, "PATIENCE", 0.01)
    monkeypatch.setattr(resync, "POLL", 0.001)
    mirrors = cluster.domains["n1"].mirrors
    mirrors.phase = lambda phase: cluster.down.add("n2") if "has ended" in phase else None

    with pytest.raises(RepairNeeded, match="lost their connection"):
        move(cluster, "drbd")

    vm = cluster.read().vm("web1")
    assert vm.disk(1).mirror_of == 2 and vm.disk(2).storage == "file"
    assert cluster.directories["n1"].made[DEFAULT_LOCATION]
    assert cluster.domains["n1"].state("web1") == "running"
    cluster.down.clear()
    journal_recovery.resume_all(cluster.hosts["n1"], patience=False)
    assert is_whole(cluster, "drbd")


def test_a_peer_that_was_declared_dead_is_not_waited_for(
    three: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(three, "file")
    monkeypatch.setattr(resync, "PATIENCE", 0.01)
    monkeypatch.setattr(resync, "POLL", 0.001)
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)
    mirrors = three.domains["n1"].mirrors
    mirrors.phase = lambda phase: three.down.add("n2") if "has ended" in phase else None
    with pytest.raises(RepairNeeded):
        move(three, "drbd", nodes=["n1", "n2"])

    three.run("n1", members.offline, names=["n2"], confirm_dead=True)
    journal_recovery.resume_all(three.hosts["n1"], patience=False)

    (disk,) = three.read().vm("web1").disks
    assert (disk.storage, disk.mirror_of) == ("drbd", 0)
    assert pieces(three) == DATA | three.written and volumes(three, "n1") == [disk.volume]


def test_a_guest_that_sees_another_size_is_not_mirrored(cluster: FakeCluster) -> None:
    run(cluster, "file")
    cluster.domains["n1"].disks.sizes["web1", "vda"] = 65 * MIB

    with pytest.raises(Failed, match="sees 65MiB of disk 1"):
        move(cluster, "lvm")

    assert is_whole(cluster, "file")


MOST = 12  # instants of one move that are tried, beside those of the mirror; all in a soak
Death = Callable[[FakeCluster], None]


def daemon_dies(cluster: FakeCluster) -> None:
    """The domain runs on."""


def host_dies(cluster: FakeCluster) -> None:
    """And with it the domain: what its mirror had on its way is lost."""
    cluster.domains["n1"].power_off()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("old", "new", "dies"),
    [
        ("file", "lvm", host_dies),
        ("lvm", "drbd", host_dies),
        ("drbd", "file", host_dies),
        ("lvm", "drbd", daemon_dies),  # more of these are in tests/deaths
    ],
)
def test_every_byte_is_there_wherever_daemon_or_host_dies(
    tmp_path: Path, dies: Death, old: str, new: str
) -> None:
    instants = told(tmp_path / "alive", dies, old, new, -1)
    assert sum(what.startswith("mirror") for what in instants) == 3
    # From the mirror on: what comes before it are the deaths of any disk that is made.
    first = instants.index("call n1 disk.mirror")
    chosen = {first + at for at in sample(len(instants) - first, MOST, f"{old} {new}")}
    chosen |= {at for at, what in enumerate(instants) if "mirror" in what and at >= first}
    for at in sorted(chosen):
        told(tmp_path / str(at), dies, old, new, at)


def told(directory: Path, dies: Death, old: str, new: str, at: int) -> list[str]:
    """Play the move with one death, and judge what is left; the instants that were passed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        cluster = FakeCluster(directory)
        run(cluster, old)
        killer = ProcessKiller(cluster, patch)
        doomed = killer.doom("n1", at)
        with contextlib.suppress(McvError, SystemExit):
            move(cluster, new)
        if at >= 0:
            dies(cluster)
        killer.revive()
        until_quiet(cluster)
    kind = cluster.read().vm("web1").disk(1).storage
    where = f"{at} {doomed.instants[at]}" if at >= 0 else "alive"
    assert kind == new or at >= 0, where
    assert pieces(cluster) == DATA | cluster.written, where
    assert is_whole(cluster, kind), where
    assert cluster.domains["n1"].state("web1") in ("running", "stopped"), where
    if dies is daemon_dies:
        assert cluster.domains["n1"].state("web1") == "running", where
    return doomed.instants
