"""VMs move with their local disks while they run: whose bytes are the newest at each instant."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from mcv.document.disks import FileDisk, Role, SharedDisk
from mcv.document.pools import DEFAULT_LOCATION
from mcv.drivers.domain_reading import substance
from mcv.drivers.domain_source import Source
from mcv.drivers.migration_xml import MovedDisks
from mcv.errors import (
    CallLost,
    DoneInPart,
    Failed,
    HypervisorFailed,
    McvError,
    PeerUnreachable,
    Refused,
    RepairNeeded,
)
from mcv.host import Host
from mcv.recovery import claims, journal_recovery
from mcv.storage import copy_notes, copy_target
from mcv.storage.moves import DiskMove
from mcv.storage.pieces import PIECE
from mcv.transaction.plan import steps_of
from mcv.vm import (
    arrivals,
    create,
    disk_add,
    live,
    live_storage,
    migration_tunnel,
    plans,
    power,
)
from tests.documents import vm
from tests.fakes.cluster import FakeCluster
from tests.fakes.process_killer import until_quiet

MIB = 1024**2
DATA = {0: b"boot", PIECE: b"data", 7 * PIECE: b"the end"}
SINCE = {3 * PIECE: b"written since"}


def make(cluster: FakeCluster, storage: str = "file") -> None:
    options = {"memory": "64MiB", "disks": ["64MiB"], "storage": storage}
    cluster.run("n1", create.create, name="web1", **options)
    cluster.blocks["n1"].pieces(path(cluster)).update(DATA)
    cluster.run("n1", power.start, name="web1")


@pytest.fixture
def running(cluster: FakeCluster) -> FakeCluster:
    make(cluster)
    return cluster


def path(cluster: FakeCluster, number: int = 1, node: str = "n1") -> str:
    disk = cluster.read(node).vm("web1").disk(number)
    return f"{DEFAULT_LOCATION if disk.storage == 'file' else '/dev/vg0'}/{disk.volume}"


def volumes(cluster: FakeCluster, node: str) -> list[str]:
    return [*cluster.lvm[node].made, *cluster.directories[node].made[DEFAULT_LOCATION]]


def move(cluster: FakeCluster, **options: Any) -> None:
    cluster.run("n1", live.migrate, name="web1", to="n2", **options)


def states(cluster: FakeCluster) -> tuple[str, str]:
    return cluster.domains["n1"].state("web1"), cluster.domains["n2"].state("web1")


def on_call(operation: str, error: Exception) -> Callable[[str, str, str], None]:
    def spy(caller: str, node: str, asked: str) -> None:
        if asked == operation:
            raise error

    return spy


def quiet(caller: str, node: str, asked: str) -> None:
    pass


def write_since(cluster: FakeCluster) -> None:
    """What the guest writes once it goes on over there."""
    cluster.blocks["n2"].pieces(path(cluster)).update(SINCE)


def is_as_it_was(cluster: FakeCluster) -> None:
    vm = cluster.read().vm("web1")
    assert states(cluster) == ("running", "absent") and vm.node == "n1" and vm.claim is None
    assert cluster.blocks["n1"].pieces(path(cluster)) == DATA
    assert volumes(cluster, "n2") == [] and copy_notes.read(cluster.hosts["n2"], "web1", 1) is None


@pytest.mark.parametrize("storage", ["file", "lvm"])
def test_it_goes_on_over_there_with_every_byte_and_the_source_is_gone(
    cluster: FakeCluster, storage: str
) -> None:
    make(cluster, storage)

    def write(phase: str) -> None:
        if phase == "moving":
            cluster.blocks["n1"].pieces(path(cluster)).update(SINCE)

    cluster.domains["n1"].phase = write
    move(cluster)

    vm = cluster.read("n2").vm("web1")
    (disk,) = vm.disks
    assert states(cluster) == ("absent", "running")
    assert (vm.node, vm.nodes, list(disk.places), vm.claim) == ("n2", ("n2",), ["n2"], None)
    assert cluster.blocks["n2"].pieces(path(cluster)) == DATA | SINCE
    assert volumes(cluster, "n1") == [] and volumes(cluster, "n2") == [disk.volume]
    assert vm.incarnation == 1


@pytest.mark.parametrize(
    ("story", "kinds", "cache", "proven"),
    [
        ("a shared disk", "shared", "none", True),
        ("beside a local one", "shared file", "directsync", True),
        ("one whose host keeps pages", "shared", "writeback", False),
        ("none is shared", "file", "none", False),
    ],
)
def test_libvirt_judges_no_file_system_of_a_proven_pool(
    story: str, kinds: str, cache: Any, proven: bool
) -> None:
    of_kind = {
        "shared": SharedDisk(id=1, size=MIB, pool="nfs", volume="a", cache=cache),
        "file": FileDisk(id=2, size=MIB, volume="b", places={"n1": "/pool"}, cache=cache),
    }

    disks = tuple(of_kind[kind] for kind in kinds.split())

    assert live_storage.is_proven_shared(replace(vm(), disks=disks)) is proven, story


def sent(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What libvirt is asked to send from n1."""
    asked: list[Any] = []
    migration = cluster.domains["n1"].migration
    original = migration.send

    def send(*arguments: Any) -> None:
        asked.append(arguments)
        original(*arguments)

    monkeypatch.setattr(migration, "send", send)
    return asked


def test_of_a_vm_of_three_kinds_the_local_disks_alone_go_along(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])
    cluster.run("n1", power.start, name="web1")
    for storage in ("file", "lvm"):
        cluster.run("n1", disk_add.add, name="web1", size="32MiB", storage=storage)
    for number in (2, 3):
        cluster.blocks["n1"].pieces(path(cluster, number)).update({PIECE: b"of %d" % number})
    asked = sent(cluster, monkeypatch)

    move(cluster, bandwidth="10MiB")

    [(_, _, _, bandwidth, disks, proven_shared)] = asked
    assert not proven_shared
    assert disks.mirrored == ("vdb", "vdc") == tuple(disks.sources)
    assert bandwidth == 5 * MIB
    vm = cluster.read("n2").vm("web1")
    assert [sorted(disk.places) for disk in vm.disks] == [["n1", "n2"], ["n2"], ["n2"]]
    for number in (2, 3):
        assert cluster.blocks["n2"].pieces(path(cluster, number)) == {PIECE: b"of %d" % number}
    roles = {name: one.role for name, one in cluster.world.replicas["mcv-web1-1"].items()}
    assert roles == {"n1": "Secondary", "n2": "Primary"}
    assert volumes(cluster, "n1") == ["mcv-web1-1"]


def test_it_lies_elsewhere_over_there(cluster: FakeCluster) -> None:
    for node, location in (("n1", "/srv/a"), ("n2", "/srv/b")):
        cluster.directories[node].make(location)
    pool = {"type": "dir", "nodes": {"n1": "/srv/a", "n2": "/srv/b"}}
    cluster.hosts["n1"].update("pool.add", "a test", name="fast", pool=pool)
    options = {"memory": "64MiB", "disks": ["64MiB"], "pool": "fast", "start": True}
    cluster.run("n1", create.create, name="web1", **options)
    (disk,) = cluster.read().vm("web1").disks
    cluster.blocks["n1"].pieces(f"/srv/a/{disk.volume}").update(DATA)

    move(cluster)

    assert cluster.blocks["n2"].pieces(f"/srv/b/{disk.volume}") == DATA
    runs_with = substance(cluster.domains["n2"].xml("web1")).disks
    assert runs_with == (("vda", f"/srv/b/{disk.volume}"),)
    assert cluster.directories["n1"].made["/srv/a"] == {}


@pytest.mark.parametrize("phase", ["begun", "moving", "arrived"])
def test_cut_off_on_the_way_it_runs_on_and_nothing_is_left_over_there(
    running: FakeCluster, phase: str
) -> None:
    def fail(now: str) -> None:
        if now == phase:
            raise HypervisorFailed("Could not migrate web1: the way broke off.")

    running.domains["n1"].phase = fail
    with pytest.raises(Failed, match=r"was undone: .*the way broke off"):
        move(running)

    is_as_it_was(running)


def test_what_is_left_of_a_try_is_written_over_by_the_next(running: FakeCluster) -> None:
    def spoil(phase: str) -> None:
        if phase == "begun":
            running.blocks["n2"].pieces(path(running))[5 * PIECE] = b"not of this disk"

    running.domains["n1"].phase = spoil
    move(running)

    assert running.blocks["n2"].pieces(path(running)) == DATA


def test_a_volume_of_another_size_takes_no_running_disk(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(cluster, "lvm")
    original = cluster.lvm["n2"].create

    def larger(group: str, name: str, size: int) -> None:
        original(group, name, size + 4 * MIB)

    monkeypatch.setattr(cluster.lvm["n2"], "create", larger)
    with pytest.raises(Failed, match="Disk 1 of web1 has 64MiB and would have 68MiB on n2"):
        move(cluster)

    is_as_it_was(cluster)


def test_no_room_over_there_is_told_before_anything_is_done(running: FakeCluster) -> None:
    running.directories["n2"].at(DEFAULT_LOCATION).free = 0
    before = running.picture()

    with pytest.raises(Refused, match=r"Pool default .* on n2 has .* free, 64MiB are needed"):
        move(running)

    assert running.picture() == before


def test_a_source_volume_that_cannot_be_removed_is_told_of(running: FakeCluster) -> None:
    running.directories["n1"].broken.add("remove")

    with pytest.raises(DoneInPart, match="cannot be removed"):
        move(running)

    assert states(running) == ("absent", "running")
    assert running.read().vm("web1").node == "n2" and running.read().vm("web1").claim is None


def test_an_arrival_that_libvirt_does_not_resume_goes_and_the_source_has_its_bytes(
    running: FakeCluster,
) -> None:
    running.domains["n2"].broken.add("resume")

    with pytest.raises(Failed, match=r"was undone: .*Could not resume web1"):
        move(running)

    vm = running.read().vm("web1")
    assert states(running) == ("stopped", "absent") and (vm.node, vm.claim) == ("n1", None)
    assert running.blocks["n1"].pieces(path(running)) == DATA and volumes(running, "n2") == []
    running.run("n1", power.start, name="web1")


@pytest.fixture
def woken(running: FakeCluster) -> FakeCluster:
    """web1 goes on over there, and n1 does not know."""
    running.answered = on_call("vm.resume_target", CallLost("n2 broke off."))
    with pytest.raises(RepairNeeded):
        move(running)
    running.answered = quiet
    assert states(running) == ("stopped", "running")
    write_since(running)
    return running


def belongs_to_n2_with_its_bytes(cluster: FakeCluster) -> None:
    vm = cluster.read("n2").vm("web1")
    assert (vm.node, vm.nodes, vm.claim) == ("n2", ("n2",), None)
    assert cluster.blocks["n2"].pieces(path(cluster, node="n2")) == DATA | SINCE


def test_from_the_wake_on_nothing_starts_from_the_source(woken: FakeCluster) -> None:
    with pytest.raises(McvError):
        woken.run("n1", power.start, name="web1")
    with pytest.raises(HypervisorFailed, match="Hook script"):
        woken.domains["n1"].start("web1")

    assert journal_recovery.resume_all(woken.hosts["n1"], patience=False)

    belongs_to_n2_with_its_bytes(woken)
    assert states(woken) == ("absent", "running") and volumes(woken, "n1") == []


def test_a_host_that_goes_down_after_the_wake_has_the_newest_bytes_still(
    woken: FakeCluster,
) -> None:
    woken.reboot("n2")

    assert journal_recovery.resume_all(woken.hosts["n1"], patience=False)

    belongs_to_n2_with_its_bytes(woken)
    assert volumes(woken, "n1") == []


@pytest.mark.parametrize("reboots", [False, True])
def test_a_source_that_dies_for_good_after_the_wake_is_taken_over(
    woken: FakeCluster, reboots: bool
) -> None:
    woken.down.add("n1")
    woken.domains["n1"].active.clear()
    if reboots:
        woken.reboot("n2")
    host = woken.hosts["n2"]
    host.consensus.declare(["n1"], id="dead", who="alice", why="power is off", alive=list)

    claims.take_over_all(host)

    belongs_to_n2_with_its_bytes(woken)
    assert list(host.journal.entries()) == []
    copy_target.clear_over(host)
    arrivals.forget_over(host)
    assert not list(host.settings.notes.glob("*.json"))
    belongs_to_n2_with_its_bytes(woken)


def test_a_source_that_dies_for_good_before_the_wake_has_the_only_bytes(
    running: FakeCluster,
) -> None:
    running.spy = on_call("vm.resume_target", CallLost("n2 broke off."))
    with pytest.raises(RepairNeeded):
        move(running)
    running.spy = quiet
    running.down.add("n1")
    running.domains["n1"].active.clear()
    host = running.hosts["n2"]
    host.consensus.declare(["n1"], id="dead", who="alice", why="power is off", alive=list)

    claims.take_over_all(host)

    found = running.read("n2").vm("web1")
    assert (found.node, found.claim, found.nodes) == ("n1", None, ("n1",))
    assert running.domains["n2"].state("web1") == "absent" and volumes(running, "n2") == []
    assert running.blocks["n1"].pieces(path(running, node="n2")) == DATA


def dead_target(cluster: FakeCluster) -> Host:
    """n2 is declared dead, and n1 alone goes on."""
    cluster.down.add("n2")
    host = cluster.hosts["n1"]
    host.consensus.declare(["n2"], id="dead", who="alice", why="power is off", alive=list)
    return host


def test_while_it_may_have_gone_on_on_a_dead_node_the_source_stays_claimed(
    woken: FakeCluster,
) -> None:
    host = dead_target(woken)

    journal_recovery.resume_all(host, patience=False)

    vm = woken.read().vm("web1")
    assert vm.node == "n1" and vm.claim is not None
    assert woken.domains["n1"].state("web1") == "stopped"
    assert woken.blocks["n1"].pieces(path(woken)) == DATA


def test_an_operator_may_use_the_older_bytes_and_the_newer_ones_stay(woken: FakeCluster) -> None:
    dead_target(woken)
    woken.run("n1", claims.clear_lock, name="web1")
    woken.run("n1", power.start, name="web1")
    (disk,) = woken.read().vm("web1").disks
    woken.down.clear()
    woken.reboot("n2")

    until_quiet(woken)

    assert volumes(woken, "n2") == [disk.volume]
    assert copy_notes.read(woken.hosts["n2"], "web1", 1) is None
    found = woken.blocks["n2"].pieces(f"{DEFAULT_LOCATION}/{disk.volume}")
    assert found == DATA | SINCE


def test_a_node_that_dies_before_anything_went_on_there_costs_nothing(
    running: FakeCluster,
) -> None:
    running.spy = on_call("vm.expect", PeerUnreachable("n2 does not answer."))
    with pytest.raises(McvError):
        move(running)
    running.spy = quiet
    host = dead_target(running)

    journal_recovery.resume_all(host, patience=False)

    vm = running.read().vm("web1")
    assert running.domains["n1"].state("web1") == "running" and (vm.node, vm.claim) == ("n1", None)


def test_the_old_volume_stays_while_the_new_owner_is_offline(running: FakeCluster) -> None:
    (disk,) = running.read().vm("web1").disks
    running.spy = on_call("vm.define", PeerUnreachable("n2 does not answer."))
    with pytest.raises(RepairNeeded):
        move(running)
    running.spy = quiet
    host = dead_target(running)

    journal_recovery.resume_all(host, patience=False)

    assert running.read().vm("web1").node == "n2" and running.read().vm("web1").claim is None
    assert volumes(running, "n1") == [disk.volume]


def test_who_opens_a_stream_of_disks_is_expected_with_some(running: FakeCluster) -> None:
    host, asked = running.hosts["n2"], {"vm": "web1", "for": "disks"}
    seen: list[str] = []

    def look(phase: str) -> None:
        seen.append(migration_tunnel.target(host, "n1", asked).path.name)

    running.domains["n1"].phase = look
    move(running)

    assert set(seen[:3]) == {"mcv-disks.tunnelmigrate.dest.web1"}
    with pytest.raises(Refused, match="n2 expects no web1 of n1"):
        migration_tunnel.target(host, "n1", asked)


def test_disks_are_not_led_to_a_vm_that_brings_none(cluster: FakeCluster) -> None:
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])
    cluster.hosts["n1"].update("vm.claim", "", name="web1", why="migrate")
    arrivals.expect(cluster.hosts["n2"], "web1")

    with pytest.raises(Refused, match="A stream leads to"):
        migration_tunnel.target(cluster.hosts["n2"], "n1", {"vm": "web1", "for": "disks"})


def file(number: int, role: Role = "data") -> FileDisk:
    return FileDisk(
        id=number,
        size=64 * MIB,
        pool="default",
        volume=f"web1-{number}",
        places={"n1": "/srv/a"},
        role=role,
    )


def test_a_seed_is_copied_before_and_the_variables_are_memory(cluster: FakeCluster) -> None:
    disks = (file(1), file(2, "efi"), file(3, "seed"))
    new = [replace(disk, places={"n2": "/srv/b"}) for disk in disks]
    goes = [
        DiskMove(old=old, new=disk, source="n1", to="n2")
        for old, disk in zip(disks, new, strict=True)
    ]

    plan = plans.live_plan(vm(disks=disks), "n2", moves=goes)
    told = live_storage.moved(cluster.hosts["n1"], "web1", new, "n2", "unix:///disks")

    steps = [str(step.do).split()[1] for item in plan for step in steps_of(item)]
    assert steps[:5] == [*["volume.receive"] * 3, "volume.send", "vm.expect"]
    assert [str(step.do) for item in plan for step in steps_of(item)][3].endswith("disk=3 to=n2")
    assert told == MovedDisks(
        uri="unix:///disks",
        mirrored=("vda",),
        sources={
            "vda": Source(type="file", path="/srv/b/web1-1"),
            "vdc": Source(type="file", path="/srv/b/web1-3"),
        },
        variables=Source(type="file", path="/srv/b/web1-2"),
    )


def test_a_plan_without_local_disks_is_that_of_before() -> None:
    plan = plans.live_plan(vm(), "n2")

    assert not any(step.only_there for item in plan for step in steps_of(item))
    shown = [str(step.do) for item in plan for step in steps_of(item)]
    assert "n2: vm.expect name=web1" in shown and "document: vm.assign name=web1 node=n2" in shown
