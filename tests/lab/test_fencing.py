"""A replica that may be stale is never promoted in silence: what the kernel and the handler do."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import Node, reality, wait_until
from tests.lab.cluster import bring_back, create, mcv, told
from tests.lab.cuts import without_replication
from tests.lab.reality import FOREIGN, FOREIGN_FILE

RESOURCE = "mcv-web1-1"
LV = f"/dev/vg0/{RESOURCE}"
BLOCK = 4096
PLACE = 1500  # the block that a test writes


# The handler works alike while mcvd runs; the notes that it leaves without it are the harder case.
DAEMONS = [pytest.param("running", marks=pytest.mark.soak), "stopped"]
# A directory without room for a note.
FULL = (
    "mkdir -p {notes}; mount -t tmpfs -o size=4k tmpfs {notes}; dd if=/dev/zero of={notes}/x bs=4k"
)


@pytest.fixture
def web1(pair: list[Node]) -> Iterator[list[Node]]:
    """The cluster with the VM web1, which runs on node1."""
    node1 = pair[0]
    create(node1, "web1")
    mcv(node1, "start web1")
    yield pair
    bring_back(pair, f"rm -f {FOREIGN_FILE}; iptables-legacy -F; systemctl start mcvd")
    wait_until(lambda: is_well(node1), 60, "both replicas to be in step")
    mcv(node1, "stop web1")
    mcv(node1, "delete web1 --yes")


def is_well(node: Node) -> bool:
    return reality.is_in_step(node, RESOURCE)


def disk(node: Node) -> str:
    view = reality.drbd(node, RESOURCE)
    return view.disk if view else "absent"


def written(node: Node, seconds: int) -> bool:
    """Write a block of random bytes to the replicated device; whether that ends in time."""
    said = node.run(f"timeout {seconds} {write(node)}", check=False, timeout=seconds + 20)
    return said.code == 0


def write(node: Node) -> str:
    device = reality.device(node, RESOURCE)
    return f"dd if=/dev/urandom of={device} bs={BLOCK} seek={PLACE} count=1 oflag=direct"


def block(node: Node) -> str:
    """The block that was written, as it lies on a node's own disk."""
    words = f"dd if={LV} bs={BLOCK} skip={PLACE} count=1 iflag=direct status=none | sha256sum"
    return node.run(words).stdout


def note(node: Node, kind: str = "alone") -> dict[str, Any] | None:
    path = f"/var/lib/mcv/{node.name}/notes/{RESOURCE}.{kind}.json"
    text = node.run(f"cat {path}", check=False).stdout
    return dict(json.loads(text)) if text else None


def stop_daemon(node: Node) -> None:
    """End mcvd at once: one that is stopped in good order tells the others."""
    node.run("systemctl kill --signal=KILL mcvd; systemctl stop mcvd")


@pytest.mark.parametrize("daemon", DAEMONS)
def test_the_owner_goes_on_alone_and_writes_it_down(web1: list[Node], daemon: str) -> None:
    node1, node2 = web1
    if daemon == "stopped":
        stop_daemon(node1)
    node1.put(FOREIGN, FOREIGN_FILE)  # the kernel's call of drbdadm reads mcv's file alone

    node2.cut()

    assert written(node1, 45)
    node1.run(f"rm {FOREIGN_FILE}")
    kept = note(node1)
    assert kept and "node2 cannot be reached" in kept["why"] and kept["since"]
    assert reality.domain(node1, "web1") == "running"
    # The other node does not own it: its kernel refuses, and so it stays.
    wait_until(lambda: _is_apart(node2), 45, "node2 to see that node1 is away")
    assert node2.run(f"drbdadm primary {RESOURCE}", check=False, timeout=90).code != 0
    view = reality.drbd(node2, RESOURCE)
    assert view and view.role == "Secondary"
    assert block(node1) != block(node2)

    node2.heal()
    wait_until(lambda: is_well(node1) and is_well(node2), 60, "both replicas to be in step")
    assert block(node1) == block(node2)
    wait_until(lambda: note(node1) is None, 30, "the note to go")


@pytest.mark.soak
def test_a_full_disk_holds_up_the_note_and_not_the_guest(web1: list[Node]) -> None:
    node1, node2 = web1
    notes = f"/var/lib/mcv/{node1.name}/notes"
    node1.run(FULL.format(notes=notes), check=False)

    node2.cut()

    assert written(node1, 45)
    assert note(node1) is None
    node1.run(f"umount {notes}")


def _is_apart(node: Node) -> bool:
    view = reality.drbd(node, RESOURCE)
    return view is not None and view.connection != "Connected"


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_peer_that_lives_outdates_its_replica(web1: list[Node], daemon: str) -> None:
    node1, node2 = web1

    with without_replication(node2):
        if daemon == "stopped":
            stop_daemon(node1)
        assert written(node1, 45)

        assert disk(node2) == "Outdated"
        assert note(node1) is None
        assert reality.domain(node1, "web1") == "running"
        assert node2.run(f"drbdadm primary {RESOURCE}", check=False, timeout=90).code != 0
        assert block(node1) != block(node2)

    wait_until(lambda: is_well(node1) and is_well(node2), 60, "both replicas to be in step")
    assert block(node1) == block(node2)


@pytest.mark.soak
def test_by_the_policy_wait_nothing_is_written_alone(web1: list[Node]) -> None:
    node1, node2 = web1
    mcv(node1, "drbd set on-peer-loss=wait")

    node2.cut()
    # It hangs in the kernel, where no signal reaches it.
    writing = node1.start(f"{write(node1)} && echo written")
    with pytest.raises(subprocess.TimeoutExpired):
        writing.communicate(timeout=30)
    assert note(node1) is None

    node2.heal()
    said, _ = writing.communicate(timeout=60)
    assert said == "written\n"
    wait_until(lambda: is_well(node1) and is_well(node2), 60, "both replicas to be in step")
    assert block(node1) == block(node2)
    wait_until(lambda: _is_online(node1), 30, "node2 to be in contact")
    mcv(node1, "drbd set on-peer-loss=continue")


@pytest.mark.soak
def test_suspended_io_goes_on_when_the_peer_is_declared_dead(web1: list[Node]) -> None:
    node1, node2 = web1
    mcv(node1, "drbd set on-peer-loss=wait")
    # A guest that was reading when its I/O was suspended would not end.
    wait_until(lambda: reality.has_read(node1), 120, "the guest having read what it boots from")
    node2.cut()
    writing = node1.start(f"{write(node1)} && echo written")
    wait_until(lambda: attention(node1).startswith("I/O is suspended"), 45, "I/O being suspended")
    assert told(node1, "list")[0]["state"] == "running"
    assert any(line.startswith("I/O is suspended") for line in told(node1, "info")["attention"])

    # What writes beside the guest cannot end, nor can a QEMU that has to flush at its end.
    # In the latter case libvirt still waits for the QEMU when the command gives up.
    said = mcv(node1, "stop web1", code=4).stderr
    is_open = "node1 keeps its disk open: " in said and "dd (" in said
    assert is_open or ("is not over" in said and "libvirt has not answered" in said), said
    mcv(node1, "migrate --node node2 web1", code=3)
    assert writing.poll() is None

    mcv(node1, "node offline node2 --confirm-dead --yes")
    told_at_last, _ = writing.communicate(timeout=60)
    assert told_at_last == "written\n"
    wait_until(lambda: reality.domain(node1, "web1") == "shut off", 60, "the end of its QEMU")
    mcv(node1, "start web1")

    node2.heal()
    wait_until(lambda: is_well(node1) and is_well(node2), 60, "both replicas to be in step")
    assert block(node1) == block(node2)
    wait_until(lambda: _is_online(node1), 30, "node2 to be in contact")
    mcv(node1, "drbd set on-peer-loss=continue")


def attention(node: Node) -> str:
    return str(told(node, "list")[0]["attention"])


def _is_online(node: Node) -> bool:
    return all(one["status"] == "online" for one in told(node, "info")["nodes"])


def test_nobody_starts_what_a_dead_node_owns(web1: list[Node]) -> None:
    node1, node2 = web1

    node1.kill()
    wait_until(lambda: _is_apart(node2), 45, "node2 to see that node1 is away")

    assert node2.run(f"drbdadm primary {RESOURCE}", check=False, timeout=90).code != 0
    mcv(node2, "start web1", code=3)
    mcv(node2, "register web1 --node node2 --yes", code=3)
    view = reality.drbd(node2, RESOURCE)
    assert view and view.role == "Secondary" and reality.domain(node2, "web1") == "absent"
    listed = told(node2, "list")[0]
    assert listed["state"] == "unknown" and "node1 does not answer" in listed["attention"]

    node1.boot()
    wait_until(lambda: is_well(node1) and is_well(node2), 60, "both replicas to be in step")
    wait_until(lambda: _is_online(node1), 30, "node1 to be in contact")
    wait_until(lambda: reality.domain(node1, "web1") == "running", 30, "what ran to run again")
    mcv(node1, "stop web1")
    node1.run("systemctl restart mcvd && sleep 8")
    assert reality.domain(node1, "web1") == "shut off"
    mcv(node1, "start web1")


def verification(node: Node) -> str:
    """How the last verification ended, by the document on a node's disk."""
    return str(reality.document(node)["vms"]["web1"]["disks"][0]["verification"]["result"])


def test_what_a_verification_by_hand_finds_blocks_too(web1: list[Node]) -> None:
    node1, node2 = web1
    mcv(node1, "stop web1")
    reality.write_byte(node2, LV, PLACE * BLOCK, "X")
    stop_daemon(node1)

    node1.run(f"drbdadm verify {RESOURCE}")
    wait_until(lambda: note(node1, "out-of-sync"), 30, "the handler's note")

    node1.run("systemctl start mcvd")
    wait_until(lambda: _is_online(node1), 30, "node1 to be in contact")
    assert "mcv resync web1" in mcv(node1, "start web1", code=3).stderr
    assert "mcv resync web1" in mcv(node1, "migrate --node node2 web1", code=3).stderr
    wait_until(lambda: verification(node2) == "out-of-sync", 30, "the document to say so")
    assert note(node1, "out-of-sync") is None
    mcv(node1, "start web1", code=3)
    # libvirt's hook says the same, but for the one start that an operator's word allows.
    refused = node1.run("virsh start web1", check=False).stderr
    assert "mcv: The last verification of web1 failed" in refused
    mcv(node1, "start web1 --ignore-verify")
    assert reality.domain(node1, "web1") == "running"
    mcv(node1, "stop web1")
    assert "verification" in node1.run("virsh start web1", check=False).stderr

    mcv(node1, "resync web1 --yes")
    mcv(node1, "start web1", code=3)
    mcv(node1, "verify web1")
    mcv(node1, "start web1")
    assert reality.byte(node2, LV, PLACE * BLOCK) == 0
