"""A resync over fake doors: who sends to whom, what comes of a lost disk, and how it ends."""

from collections.abc import Sequence

import pytest

from mcv.document.disks import DrbdDisk
from mcv.document.model import Vm
from mcv.drbd import resync
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.status import vms
from mcv.system.answers import plain
from mcv.vm import create, migrate, power
from tests.fakes.cluster import FakeCluster

RESOURCE = "mcv-web1-1"


@pytest.fixture
def web1(cluster: FakeCluster) -> FakeCluster:
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])
    return cluster


def disks(cluster: FakeCluster) -> list[str]:
    return [door.statuses()[RESOURCE].disk for door in cluster.drbd.values()]


def roles_of(cluster: FakeCluster) -> list[str]:
    return [door.statuses()[RESOURCE].role for door in cluster.drbd.values()]


@pytest.mark.parametrize("source", ["n1", "n2"])
@pytest.mark.parametrize("runs", [False, True])
def test_it_goes_from_the_owner_or_from_the_node_that_is_named(
    web1: FakeCluster, source: str, runs: bool
) -> None:
    if runs:
        web1.run("n1", power.start, name="web1")
    web1.world.out_of_sync[RESOURCE] = 4096
    if runs and source == "n2":
        with pytest.raises(Refused, match="web1 runs on n1, so n2 cannot be the source"):
            web1.run("n1", resync.resync, name="web1", source=source)
        return

    told = web1.run("n1", resync.resync, name="web1", source=source)

    assert plain(told) == {"name": "web1", "source": source, "resynced": 4096}
    assert disks(web1) == ["UpToDate", "UpToDate"]
    assert roles_of(web1) == ["Primary" if runs else "Secondary", "Secondary"]


@pytest.mark.parametrize("lost", ["n1", "n2"])
def test_a_lost_disk_is_shown_with_the_command_that_attaches_it_again(
    web1: FakeCluster, lost: str
) -> None:
    other = "n2" if lost == "n1" else "n1"
    helps = f"mcv resync web1 --source {other}"
    web1.run("n1", power.start, name="web1")
    web1.drbd[lost].detach(RESOURCE)

    said = str(vms.list_(web1.hosts["n2"])[0].attention)
    assert f"replica on {lost} is Diskless" in said and helps in said
    with pytest.raises(Refused, match=f"replica of web1 on {lost} is Diskless") as refused:
        web1.run("n1", resync.resync, name="web1", source=lost)
    assert helps in refused.value.hint

    web1.run("n1", resync.resync, name="web1", source=other)

    assert disks(web1) == ["UpToDate", "UpToDate"] and roles_of(web1)[0] == "Primary"
    assert vms.list_(web1.hosts["n2"])[0].attention is None


def test_a_new_volume_gets_metadata_first(web1: FakeCluster) -> None:
    web1.drbd["n2"].detach(RESOURCE)
    del web1.drbd["n2"].kept[RESOURCE]
    del web1.drbd["n2"].generations[RESOURCE]

    web1.run("n1", resync.resync, name="web1")

    assert disks(web1) == ["UpToDate", "UpToDate"]


def test_a_vm_whose_disk_is_lost_here_moves_to_the_other_replica(web1: FakeCluster) -> None:
    web1.drbd["n1"].detach(RESOURCE)

    with pytest.raises(Refused, match="replica of web1 on n1 is Diskless"):
        web1.run("n1", power.start, name="web1")
    web1.run("n1", migrate.migrate, name="web1", to="n2", start_after_migration=True)

    assert web1.domains["n2"].is_active("web1")


@pytest.mark.parametrize(
    ("fault", "said"),
    [("detach", "DRBD has let go of its disk"), ("disconnect", "lost their connection")],
)
def test_it_does_not_wait_for_what_does_not_come(
    web1: FakeCluster, monkeypatch: pytest.MonkeyPatch, fault: str, said: str
) -> None:
    monkeypatch.setattr(resync, "PATIENCE", 0.2)
    monkeypatch.setattr(resync, "POLL", 0.05)
    wait = resync.wait_in_step

    def then(host: Host, vm: Vm, disks: Sequence[DrbdDisk], total: int) -> int:
        web1.world.out_of_sync[RESOURCE] = 8192
        getattr(web1.drbd["n2"], fault)(RESOURCE)
        return wait(host, vm, disks, total)

    monkeypatch.setattr(resync, "wait_in_step", then)

    with pytest.raises(McvError, match=said):
        web1.run("n1", resync.resync, name="web1")

    assert web1.read("n2").vm("web1").claim is None


SECOND = "mcv-web1-2"


@pytest.fixture
def two(cluster: FakeCluster) -> FakeCluster:
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB", "64MiB"])
    return cluster


def test_a_source_that_lost_a_disk_is_refused_by_that_disk(two: FakeCluster) -> None:
    two.drbd["n1"].detach(SECOND)

    with pytest.raises(Refused, match="replica of disk 2 of web1 on n1 is Diskless"):
        two.run("n1", resync.resync, name="web1")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("detach", "The replica of disk 2 of web1 on n2 is Diskless"),
        ("disconnect", "The replicas of disk 2 of web1 lost their connection"),
    ],
)
def test_a_wait_names_the_disk_that_does_not_come(
    two: FakeCluster, monkeypatch: pytest.MonkeyPatch, fault: str, said: str
) -> None:
    monkeypatch.setattr(resync, "PATIENCE", 0.2)
    monkeypatch.setattr(resync, "POLL", 0.05)
    two.world.out_of_sync[SECOND] = 8192
    getattr(two.drbd["n2"], fault)(SECOND)
    vm = two.read().vm("web1")

    with pytest.raises(McvError, match=said):
        resync.wait_in_step(two.hosts["n1"], vm, vm.replicated)


def test_a_disk_that_cannot_be_attached_is_named(two: FakeCluster) -> None:
    two.drbd["n2"].detach(SECOND)
    two.drbd["n1"].detach(SECOND)

    with pytest.raises(McvError, match="other replica of disk 2 of web1 is Diskless"):
        resync.attach(two.hosts["n2"], "web1", 2)


def test_replicas_that_may_not_be_joined_are_named_by_their_disk(two: FakeCluster) -> None:
    for door in two.drbd.values():
        door.disconnect(SECOND)
    two.drbd["n2"].promote(SECOND)
    two.drbd["n2"].demote(SECOND)

    with pytest.raises(Refused, match="while the replicas of disk 2 of web1 were apart"):
        two.run("n1", resync.resync, name="web1")
