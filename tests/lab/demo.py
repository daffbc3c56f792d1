"""The main job on two real nodes, shown as it goes: `make demo`.

Each step's commands are shown with what they say. Whether they did what they say is then asked
of libvirt, of DRBD and of the disks, never of mcv; the first thing that is not so ends the demo.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.lab import Lab, LabError, Node, guests, reality, wait_until
from tests.lab.evidence import FAILURES, keep_evidence
from tests.lab.host import Place
from tests.lab.image import PASSWORD
from tests.lab.steps import Untrue, claim, passed, play, typed
from tests.lab.terminal import Terminal

RESOURCE = "mcv-web1-1"
LV = f"/dev/vg0/{RESOURCE}"
DISK_MIB = 64
PAYLOAD = 3 << 20
GREETING = "The first VM of this host says hello."
CHANGED = 20 << 20  # where step 7 changes a byte


@dataclass
class Stage:
    """Two nodes, a terminal on each, and the bytes that the guest's disk was given."""

    node1: Node
    node2: Node
    guest: bytes
    digest: str = ""

    @property
    def nodes(self) -> tuple[Node, Node]:
        return self.node1, self.node2

    def on(self, node: Node, command: str, code: int = 0, timeout: float = 120) -> str:
        """Type a command on a node; the demo ends if it does not exit as it should."""
        return typed(node, command, code, timeout)

    def on1(self, command: str, code: int = 0, timeout: float = 120) -> str:
        return self.on(self.node1, command, code, timeout)

    def on2(self, command: str, code: int = 0, timeout: float = 120) -> str:
        return self.on(self.node2, command, code, timeout)

    def refused(self, node: Node, command: str, *helps: str) -> None:
        """Type a command that must be refused, name what helps, and change nothing."""
        before = reality.snapshots(self.nodes)
        said = self.on(node, command, code=3)
        for words in helps:
            claim(f"the refusal names what helps: {words}", words in said)
        changed = [
            f"{one} on {name}"
            for name, now in reality.snapshots(self.nodes).items()
            for one in now
            if now[one] != before[name][one]
        ]
        claim("it changed nothing on either node", not changed, changed)

    def runs_on(self, node: Node) -> None:
        """The guest's domain runs there, and on no other node; DRBD agrees."""
        for one in self.nodes:
            state, wanted = reality.domain(one, "web1"), "running" if one is node else "absent"
            claim(f"libvirt on {one.name} says of web1: {wanted}", state == wanted, state)
            view, role = reality.drbd(one, RESOURCE), "Primary" if one is node else "Secondary"
            claim(f"DRBD on {one.name} is {role}", view and view.role == role, view)

    def in_step(self) -> None:
        for one in self.nodes:
            view = reality.drbd(one, RESOURCE)
            claim(
                f"DRBD on {one.name}: Connected, UpToDate on both sides, 0 bytes out of sync",
                view and view.is_well,
                view,
            )


def look(stage: Stage) -> None:
    """A cluster of one"""
    stage.on1("mcv info")
    seen = json.loads(stage.node1.run("mcv info --json").stdout)
    address = stage.node1.run("ip -4 -oneline address show vec0").stdout.split()[3].split("/")[0]
    mine = seen["nodes"][0]
    claim(
        f"its cluster and its DRBD address are the host's, {address}",
        len(seen["nodes"]) == 1 and mine["ip_address"] == mine["drbd_address"] == address,
        mine,
    )


def alone(stage: Stage) -> None:
    """A first VM on this host alone: from an image, started, grown"""
    node = stage.node1
    node.put(guests.speaker(GREETING), "/root/first.raw")
    node.run("qemu-img convert -O qcow2 /root/first.raw /root/first.qcow2")
    stage.on1("mcv create first --memory 64MiB --image /root/first.qcow2 --start")
    path = json.loads(node.run("mcv info first --json").stdout)["disks"][0]["path"]
    claim(f"its disk is a file, {path}", node.run(f"test -f {path}", check=False).code == 0)
    wait_until(lambda: GREETING in _console(node, "first"), 60, "the guest to say something")
    print(f"    its console: {GREETING}")
    stage.on1("mcv disk grow first 1 64MiB")
    told = node.run("virsh domblkinfo first vda").stdout
    claim("the running guest's disk has 64 MiB", f"{64 << 20}" in told.split(), told)
    stage.on1("mcv shutdown first --wait --timeout 60")
    stage.on1("mcv delete first --yes")
    claim("its file is gone", node.run(f"test -e {path}", check=False).code == 1)


def _console(node: Node, name: str) -> str:
    """What a guest has written to its serial console."""
    return node.run(f"cat /var/log/libvirt/console/{name}.log", check=False).stdout


def join(stage: Stage) -> None:
    """The second node joins, its root's password sent over SSH"""
    stage.node1.put(f"{PASSWORD}\n", "/root/password")
    print("(on node2's console, to compare the key of the host that gets the password:)")
    printed = stage.on2("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
    key = printed.split()[1]
    before = [reality.snapshot(node)["authorized_keys"] for node in stage.nodes]
    stage.on1(
        "mcv cluster add-node --node node2 --ip-address 10.99.0.2 "
        f"--password-file /root/password --host-key {key}"
    )
    documents = [
        node.run("cat /var/lib/mcv/$(hostname)/config.json").stdout for node in stage.nodes
    ]
    claim("the same document lies on both nodes' disks", documents[0] == documents[1])
    claim("it names both", set(json.loads(documents[0])["nodes"]) == {"node1", "node2"})
    after = [reality.snapshot(node)["authorized_keys"] for node in stage.nodes]
    claim("nobody's authorized_keys has changed", before == after)
    stage.node1.run("rm /root/password")
    stage.on2("mcv info")


def make(stage: Stage) -> None:
    """Replicated storage, a network, a VM filled from an image"""
    stage.node1.put(stage.guest, "/root/guest.img")
    stage.on1("mcv drbd enable")
    stage.on1("mcv network create lan --bridge br-lan")
    stage.on1(
        f"mcv create web1 --memory 64MiB --disk {DISK_MIB}MiB --storage drbd "
        "--image /root/guest.img --network lan"
    )
    stage.in_step()
    for node in stage.nodes:
        claim(f"LVM on {node.name} has {LV}", RESOURCE in reality.volumes(node))
    image_mib = len(stage.guest) >> 20
    image = reality.digest(stage.node1, "/root/guest.img", image_mib)
    for node in stage.nodes:
        found = reality.digest(node, LV, image_mib)
        claim(f"the disk on {node.name} begins with the image's bytes", found == image, found)
    stage.digest = reality.digest(stage.node1, LV, DISK_MIB)
    found = reality.digest(stage.node2, LV, DISK_MIB)
    claim(f"both replicas are alike to the last byte, {found[:12]}", found == stage.digest)
    device = reality.device(stage.node1, RESOURCE)
    xml = stage.node1.run("virsh dumpxml web1").stdout
    claim(
        "libvirt on node1 has it defined on that disk, bridge and memory",
        all(part in xml for part in (f"'{device}'", "'br-lan'", ">65536</memory>")),
        xml,
    )


def start(stage: Stage) -> None:
    """It runs"""
    stage.on1("mcv start web1")
    stage.on1("mcv list")
    stage.on1("mcv info web1")
    stage.runs_on(stage.node1)
    stage.in_step()


def verify(stage: Stage) -> None:
    """The replicas are compared while it runs"""
    before = _verified(stage.node1)
    stage.on1("mcv verify --all")
    claim("DRBD's kernel on node1 ended a verification", _verified(stage.node1) > before)
    stage.in_step()
    claim("the guest still runs", reality.domain(stage.node1, "web1") == "running")


def _verified(node: Node) -> int:
    """How many verifications the kernel of a node has ended."""
    return int(node.run("dmesg | grep -c 'drbd.*Online verify done'", check=False).stdout)


def migrate(stage: Stage) -> None:
    """It moves as soon as it has shut down, and starts on the other node"""
    first = Terminal(stage.node1).start(
        "mcv migrate --node node2 --wait-for-shutdown --start-after-migration web1"
    )
    wait_until(lambda: "waiting" in first.text or not first.is_running, 30, "the migration to wait")
    claim(
        "it waits: the guest still runs on node1",
        first.is_running and reality.domain(stage.node1, "web1") == "running",
    )
    second = Terminal(stage.node1).start("mcv shutdown web1", note=" (second terminal)")
    if (code := second.wait()) != 0:
        raise Untrue(f"`mcv shutdown web1` exited with {code}.")
    if (code := first.wait()) != 0:
        raise Untrue(f"`mcv migrate` exited with {code}.")
    end = stage.node1.run("tail -n 1 /var/log/libvirt/qemu/web1.log").stdout
    claim("libvirt on node1 saw the guest shut itself down", "reason=shutdown" in end, end)
    stage.runs_on(stage.node2)
    stage.in_step()
    device = reality.device(stage.node2, RESOURCE)
    found = reality.digest(stage.node2, device, DISK_MIB)
    claim(
        f"the guest's disk on node2 has the bytes that it had on node1, {found[:12]}",
        found == stage.digest,
        found,
    )
    stage.on2("mcv list")


def mend(stage: Stage) -> None:
    """A byte of a replica goes bad behind DRBD's back: found, blocked, mended"""
    node1, node2 = stage.nodes
    stage.on2("mcv stop web1")
    claim("libvirt on node2 has it shut off", reality.domain(node2, "web1") == "shut off")
    was = reality.byte(node1, LV, CHANGED)
    stage.on1(f"printf X | dd of={LV} bs=1 seek={CHANGED} conv=notrunc,fsync status=none")
    claim(f"the byte was {was} and is {ord('X')} now", reality.byte(node1, LV, CHANGED) == ord("X"))
    view = reality.drbd(node2, RESOURCE)
    claim("DRBD believes that all is well", view and view.is_well, view)
    said = stage.on2("mcv verify web1", code=5)
    claim("the refusal names what helps: mcv resync web1", "mcv resync web1" in said)
    view = reality.drbd(node2, RESOURCE)
    claim("DRBD's kernel has found 4096 bytes", view and view.out_of_sync == 4096, view)
    stage.refused(node2, "mcv start web1", "mcv resync web1", "mcv verify web1")
    stage.refused(node2, "mcv migrate --node node1 web1", "mcv resync web1", "mcv verify web1")
    stage.on2("mcv resync web1 --yes")
    for node in stage.nodes:
        claim(f"the byte on {node.name} is {was}", reality.byte(node, LV, CHANGED) == was)
    stage.in_step()
    before = _verified(node2)
    stage.on2("mcv verify web1")
    claim("DRBD's kernel on node2 ended a verification", _verified(node2) > before)
    stage.in_step()
    stage.on2("mcv start web1")
    stage.runs_on(node2)
    for node in stage.nodes:
        found = reality.digest(node, LV, DISK_MIB)
        claim(f"the disk on {node.name} has its first bytes again", found == stage.digest, found)


def leave(stage: Stage) -> None:
    """A node leaves once it holds nothing"""
    node1, node2 = stage.nodes
    stage.refused(node1, "mcv cluster remove-node --node node2 --yes", "mcv evacuate node2")
    stage.on1("mcv stop web1")
    claim("libvirt on node2 has it shut off", reality.domain(node2, "web1") == "shut off")
    stage.refused(
        node2, "mcv cluster remove-node --node node1 --yes", "mcv disk move web1 1 --storage lvm"
    )
    stage.on1("mcv delete web1 --yes")
    for node in stage.nodes:
        left = {
            *reality.domains(node),
            *reality.volumes(node),
            *reality.kernel_resources(node),
            *reality.resource_files(node),
        }
        claim(f"no domain, volume or resource is left on {node.name}", not left, left)
    stage.on1("mcv cluster remove-node --node node2 --yes")
    for node in stage.nodes:
        names = list(reality.document(node)["nodes"])
        claim(f"{node.name} is alone", names == [node.name], names)
    stage.on1("mcv info")


STEPS: tuple[Callable[[Stage], None], ...] = (
    look,
    alone,
    join,
    make,
    start,
    verify,
    migrate,
    mend,
    leave,
)


def main() -> int:
    began = time.monotonic()
    place = Place.from_environment().beside("demo")
    failures = FAILURES / "demo"
    shutil.rmtree(failures, ignore_errors=True)
    try:
        with Lab(place) as lab:
            print("Booting two nodes.", flush=True)
            node1, node2 = lab.up(2)
            print(f"node1 and node2 are up after {passed(began)}.", flush=True)
            # What stands behind the boot sector shows that every byte is carried along.
            stage = Stage(node1, node2, guests.polite() + os.urandom(PAYLOAD))
            if not play(stage, STEPS):
                for node in stage.nodes:
                    keep_evidence(node, failures, since=0)
                print(f"The nodes' logs are in {failures}.", file=sys.stderr)
                return 1
    except LabError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"\nAll {len(STEPS)} steps did what they say. It took {passed(began)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
