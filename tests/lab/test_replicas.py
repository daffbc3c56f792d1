"""Replicas move between three nodes while a guest writes, and a dead node is replaced."""

from collections.abc import Iterator

import pytest

from tests.lab import Node, guests, reality, wait_until
from tests.lab.cluster import create, join, mcv, told
from tests.lab.test_kills import KILL
from tests.lab.test_members import all_online, well

RESOURCE = "mcv-web1-1"
LV = f"/dev/vg0/{RESOURCE}"
SIZE = 32  # MiB


@pytest.fixture
def trio(three_nodes: list[Node]) -> Iterator[list[Node]]:
    """web1 runs on node1 and writes, with its other replica on node2; node3 has nothing."""
    join(three_nodes)
    create(
        three_nodes[0],
        "web1",
        "--storage drbd --nodes node1,node2",
        image=guests.writer(16),
        disk=f"{SIZE}MiB",
    )
    mcv(three_nodes[0], "update web1 --memory 48MiB")
    mcv(three_nodes[0], "start web1")
    yield three_nodes


def holders(nodes: list[Node]) -> list[str]:
    """The nodes that have the volume of web1's disk."""
    return [node.name for node in nodes if RESOURCE in reality.volumes(node)]


def places(node: Node) -> list[str]:
    (disk,) = reality.document(node)["vms"]["web1"]["disks"]
    return sorted(disk["volume_groups"])


def written(node: Node) -> str:
    """How many blocks the guest has written to its disk so far."""
    return node.run("virsh domblkstat web1 vda | grep wr_req").stdout


def newest_generation(node: Node) -> str:
    return node.run(f"drbdadm get-gi {RESOURCE}").stdout.split(":")[0]


@pytest.mark.soak
def test_a_replica_moves_while_its_guest_writes_and_a_dead_node_is_replaced(
    trio: list[Node],
) -> None:
    one, two, three = trio
    before = written(one)

    moved = mcv(one, "disk move web1 1 --from node2 --to node3")

    assert "one replica, on node1" in moved.stderr
    assert holders(trio) == places(one) == ["node1", "node3"]
    assert well(one, RESOURCE) and well(three, RESOURCE) and reality.drbd(two, RESOURCE) is None
    wait_until(lambda: written(one) != before, 20, "the guest to write on")
    (row,) = told(one, "drbd list")
    assert sorted(row["node"]) == ["node1", "node3"]

    # node3 dies; node2 gets what it had, and node3's own is stale for ever.
    three.kill()
    mcv(one, "node offline node3 --confirm-dead --yes")
    mcv(two, "node replace node3 --by node2 --yes")
    assert places(one) == ["node1", "node2"] and well(one, RESOURCE)
    mcv(one, "stop web1")
    assert reality.digest(one, LV, SIZE) == reality.digest(two, LV, SIZE)

    three.boot()
    wait_until(lambda: all_online(trio), 60, "node3 to be online again")
    file = f"/etc/drbd.d/{RESOURCE}.res"
    wait_until(lambda: three.run(f"test -e {file}", check=False).code == 1, 40, "its file to go")
    assert reality.drbd(three, RESOURCE) is None and well(one, RESOURCE)
    assert holders(trio) == ["node1", "node2", "node3"]
    shown = three.run(
        f"lvchange -ay {LV[5:]}; drbdmeta --force 99 v08 {LV} internal dump-md"
    ).stdout
    assert "flags 0x" in shown
    mcv(one, "cluster check --fix --yes", code=0)
    assert holders(trio) == ["node1", "node2"]
    mcv(one, "delete web1 --yes")


@pytest.mark.soak
@pytest.mark.parametrize("dies", ["node3", "the daemon", "the owner's host"])
def test_a_new_replica_that_fails_brings_the_old_one_back(trio: list[Node], dies: str) -> None:
    one, two, three = trio
    mcv(one, "drbd set resync-rate=1MiB")
    moving = one.start("timeout 300 mcv disk move web1 1 --from node2 --to node3 2>&1; true")
    wait_until(lambda: reality.drbd(three, RESOURCE) is not None, 60, "the new replica to be up")
    wait_until(
        lambda: (view := reality.drbd(one, RESOURCE)) and view.replication == "SyncSource",
        60,
        "the sync to begin",
    )
    old = reality.drbd(two, RESOURCE)
    assert old is not None and (old.disk, old.connection) == ("Outdated", "StandAlone")
    if dies == "node3":
        three.kill()
        mcv(one, "node offline node3 --confirm-dead --yes")
        moving.wait(timeout=300)
        wait_until(lambda: places(one) == ["node1", "node2"], 120, "the old replica to be named")
        mcv(one, "drbd set resync-rate=100MiB")
        wait_until(lambda: well(one, RESOURCE) and well(two, RESOURCE), 120, "it to be in step")
        three.boot()
        wait_until(lambda: all_online(trio), 90, "node3 to be back")
        ends = ["node1", "node2"]
    else:
        if dies == "the daemon":
            one.run(KILL)
            one.run("systemctl reset-failed mcvd; systemctl start mcvd")
        else:
            one.kill()
            one.boot()
        wait_until(lambda: all_online(trio), 90, "node1 to be back")
        mcv(one, "drbd set resync-rate=100MiB")
        wait_until(lambda: not reality.document(one)["vms"]["web1"].get("claim"), 240, "the end")
        ends = places(one)
    wait_until(lambda: well(one, RESOURCE), 120, "the pair to be in step")
    wait_until(lambda: holders(trio) == ends, 90, "nothing to be left elsewhere")
    mcv(one, "stop web1", code=0 if dies != "the owner's host" else 3)
    other = next(node for node in trio if node.name == ends[1])
    assert reality.digest(one, LV, SIZE) == reality.digest(other, LV, SIZE)
