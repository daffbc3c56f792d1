"""Replicas that are apart, and no split brain: joined again by a resync, from the right side."""

import pytest

from mcv.drbd import resync
from mcv.errors import Refused
from mcv.status import vms
from mcv.vm import create, power
from tests.fakes.cluster import FakeCluster

RESOURCE = "mcv-web1-1"


@pytest.fixture
def web1(cluster: FakeCluster) -> FakeCluster:
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])
    return cluster


def write_alone(cluster: FakeCluster, node: str) -> None:
    for door in cluster.drbd.values():
        door.disconnect(RESOURCE)
    cluster.drbd[node].promote(RESOURCE)
    cluster.drbd[node].demote(RESOURCE)


@pytest.mark.parametrize("side", ["n1", "n2"])
def test_one_that_was_parted_by_hand_is_joined(web1: FakeCluster, side: str) -> None:
    web1.drbd[side].disconnect(RESOURCE)
    said = str(vms.list_(web1.hosts["n2"])[0].attention)
    assert f"replica on {side} is StandAlone: mcv resync web1 --source NODE" in said

    web1.run("n1", resync.resync, name="web1")

    assert vms.list_(web1.hosts["n1"])[0].attention is None
    web1.run("n1", power.start, name="web1")


@pytest.mark.parametrize(("newer", "older"), [("n1", "n2"), ("n2", "n1")])
def test_what_one_side_wrote_alone_is_what_both_have_then(
    web1: FakeCluster, newer: str, older: str
) -> None:
    write_alone(web1, newer)
    wrote = web1.drbd[newer].metadata.generations(RESOURCE).data

    with pytest.raises(Refused, match=f"{newer} holds what was written") as refused:
        web1.run("n1", resync.resync, name="web1", source=older)
    assert f"mcv resync web1 --source {newer}" in refused.value.hint
    assert web1.drbd[older].metadata.generations(RESOURCE).data != wrote
    web1.run("n1", resync.resync, name="web1", source=newer)

    assert {door.metadata.generations(RESOURCE).data for door in web1.drbd.values()} == {wrote}


def test_the_way_there_is_shown_before(web1: FakeCluster) -> None:
    web1.drbd["n2"].disconnect(RESOURCE)

    shown = web1.run("n1", resync.resync, name="web1", dry_run=True)

    assert [line.split()[:2] for line in shown.plan] == [
        ["document:", "vm.renew"],
        ["n1:", "drbd.connect"],
        ["n2:", "drbd.connect"],
        ["n1:", "drbd.resync_from_here"],
        ["n1:", "vm.define"],
    ]


def test_one_whose_peer_is_silent_or_looked_for_is_not_joined(web1: FakeCluster) -> None:
    web1.drbd["n1"].disconnect(RESOURCE)
    web1.down.add("n2")

    with pytest.raises(Refused, match="not connected"):
        web1.run("n1", resync.resync, name="web1")
    with pytest.raises(Refused, match=r"stands alone.*n2 does not say"):
        web1.run("n1", power.start, name="web1")
