"""The seam between VMs and storage: what a disk answers by its kind."""

import pytest

from mcv import storage
from mcv.drivers.domain_xml import Source
from mcv.errors import McvError
from mcv.vm import create
from tests.documents import disk, document, vm
from tests.fakes.cluster import FakeCluster

RESOURCE = "mcv-web1-1"


@pytest.fixture
def web1(cluster: FakeCluster) -> FakeCluster:
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])
    return cluster


def test_a_disk_knows_where_its_guest_finds_the_bytes() -> None:
    several = vm(disks=(disk(), disk(number=2)))

    assert storage.sources(document(), several, "n1") == {
        1: Source(type="block", path="/dev/drbd100"),
        2: Source(type="block", path="/dev/drbd101"),
    }


def test_the_steps_of_a_move_are_asked_for_once_a_kind() -> None:
    for disks, kinds in (((), 0), ((disk(),), 1), ((disk(), disk(number=2)), 1)):
        moved = vm(disks=disks)

        assert len(storage.offline_move(moved, "n2")) == kinds
        assert len(storage.live_move(moved, "n2").before) == 2 * kinds
        assert len(storage.live_move(moved, "n2").after) == 2 * kinds
        assert len(storage.stale_takeover(moved, "n2")) == kinds


def test_a_disk_is_opened_closed_forgotten_and_brought_up(web1: FakeCluster) -> None:
    host = web1.hosts["n1"]
    kind = storage.of(host.read().vm("web1").disks[0])

    kind.open(host)
    assert storage.drbd.open_disks(host) == [host.read().vm("web1")]
    kind.close(host)
    assert storage.drbd.open_disks(host) == []
    kind.forget(host)
    assert RESOURCE not in storage.drbd.states(host)
    assert not (host.settings.drbd_directory / f"{RESOURCE}.res").exists()
    with pytest.raises(McvError, match="not defined"):
        kind.bring_up(host)


def test_a_failed_verification_blocks_by_the_document_or_by_a_note(web1: FakeCluster) -> None:
    host = web1.hosts["n1"]
    (found,) = host.read().vm("web1").disks
    assert not storage.of(found).is_blocked(host)

    host.settings.notes.mkdir(parents=True, exist_ok=True)
    (host.settings.notes / f"{RESOURCE}.out-of-sync.json").write_text("{}")

    assert storage.of(found).is_blocked(host) and storage.is_blocked(host, host.read().vm("web1"))
    assert storage.why_not_start(host, host.read().vm("web1"), ignore_verify=False)
    assert storage.why_not_move(host, host.read().vm("web1"), ignore_verify=True) == []
