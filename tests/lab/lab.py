"""The lab as a whole: nodes booted side by side from one image, on a network of their own."""

import base64
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TypeVar

from tests.lab import host
from tests.lab.host import MOST_NODES, LabError, Network, Place, run, say
from tests.lab.image import Image
from tests.lab.linux_guest import LinuxGuest
from tests.lab.node import ROOM, Node

T = TypeVar("T")

GUEST = "/root/guest.img"

# Where libvirt keeps what it learned about QEMU. A QEMU that can name a guest's missing CPU
# features makes libvirt ask for some 300 of them, one by one, at each start: 15 s in a node
# instead of 2. Here it is to believe that QEMU cannot.
CACHE = "/var/cache/libvirt/qemu/capabilities"
PROBE = f"""
    virsh -q domcapabilities --virttype qemu > /dev/null &&
    sed -i "/<flag name='cpu-unavailable-features'/d" {CACHE}/*.xml && systemctl restart libvirtd
"""


def side_by_side(do: Callable[[Node], T], nodes: Iterable[Node]) -> list[T]:
    """Do the same to several nodes at once; raises the first failure when all have ended."""
    with ThreadPoolExecutor(MOST_NODES) as pool:
        return list(pool.map(do, list(nodes)))


def wait_until(is_so: Callable[[], object], timeout: float = 30, what: str = "it") -> None:
    """Wait until something is so; raises LabError when it is not in time."""
    until = time.monotonic() + timeout
    while not is_so():
        if time.monotonic() > until:
            raise LabError(f"Waited {timeout:.0f} s for {what}.")
        time.sleep(0.5)


class Lab:
    """Up to five nodes. As a context it has the place to itself and leaves nothing behind."""

    def __init__(self, place: Place | None = None, image: Image | None = None) -> None:
        self.place = place or Place.from_environment()
        self.network = Network(self.place.namespace)
        self.image = image or Image(self.place.directory / "base")
        self._lock: IO[str] | None = None
        self._nodes = {
            number: Node(number, self.place, self.network, self.image)
            for number in range(1, MOST_NODES + 1)
        }

    def __enter__(self) -> "Lab":
        """Take the place, clearing away what a run that was killed left there."""
        host.require()
        self.take()
        self.down()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()
        self.release()

    def node(self, number: int) -> Node:
        if number not in self._nodes:
            raise LabError(f"There are nodes 1 to {MOST_NODES}, no node {number}.")
        return self._nodes[number]

    @property
    def nodes(self) -> list[Node]:
        """The nodes that have disks, running or not."""
        return [node for node in self._nodes.values() if node.directory.exists()]

    def up(self, count: int = 2) -> list[Node]:
        """Boot nodes 1 to `count`, those that do not run yet, and return them all."""
        host.require()
        host.allow_many_files()
        nodes = [self.node(number) for number in range(1, count + 1)]
        missing = [node for node in nodes if not node.is_running]
        if not missing:
            return nodes
        self.place.directory.mkdir(parents=True, exist_ok=True)
        host.require_executable(self.place.directory)
        if why := host.why_not_in_memory(ROOM):
            say(f"nodes are slower with their memory on disk: {why}")
        with self.image.alone():
            self.image.prepare(self._public_key())
            self.network.up()
            say(f"booting {', '.join(node.name for node in missing)}")
            began = time.monotonic()
            for node in missing:
                node.power_on()
            if not self.image.knows_the_emulator:
                side_by_side(Node.wait, missing)
                self._learn_the_emulator([node for node in nodes if node.role != "witness"])
        side_by_side(Node.wait, missing)
        say(f"up after {time.monotonic() - began:.0f} s")
        return nodes

    def secure(self, module: str) -> None:
        """Have the nodes boot with a security module of the kernel; those that run are killed."""
        for node in self._nodes.values():
            node.kill()
            node.security = module

    def give_guest(self, node: Node) -> str:
        """Leave the image of a Linux guest in a node's home of root; where it is there."""
        with self.image.alone():
            image = LinuxGuest(self.image.directory).prepare()
        node.put(image.read_bytes(), GUEST)
        return GUEST

    def down(self) -> None:
        """Kill all nodes, delete their disks and network; the image is kept for the next time."""
        for node in self._nodes.values():
            node.renew()
        self.network.down()
        shutil.rmtree(self.place.directory / "uml", ignore_errors=True)

    def refresh(self) -> None:
        """Bring the code of the working tree to the running nodes and restart their mcvd."""
        archive = run("sh", "-c", f"tar -C {host.TREE} -cz --exclude=__pycache__ mcv | base64 -w0")
        unpack = (
            "cd /opt/mcv/lib/python3*/site-packages && rm -rf mcv && base64 -d | tar -xzo && "
            "python3 -m compileall -q mcv; systemctl restart mcvd"
        )
        running = [node for node in self.nodes if node.is_running]
        side_by_side(lambda node: node.run(unpack, stdin=archive, timeout=120), running)

    def take(self) -> None:
        """Claim the place for this process; the claim ends with it."""
        self.place.directory.mkdir(parents=True, exist_ok=True)
        lock = (self.place.directory / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise LabError(
                f"The lab in {self.place.directory} is in use by process {lock.read().strip()}. "
                "Have another one beside it with LAB=/var/tmp/another in the environment."
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _public_key(self) -> str:
        key = self.image.key
        if not key.exists():
            key.parent.mkdir(parents=True, exist_ok=True)
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", key)
        return key.with_name("key.pub").read_text()

    def _learn_the_emulator(self, nodes: Sequence[Node]) -> None:
        """Let libvirt probe QEMU, which takes long in a node, and keep what it found."""
        say("libvirt probes QEMU, this once")
        side_by_side(lambda node: node.run(PROBE, timeout=240), nodes)
        listed = nodes[0].run(f"cd {CACHE} && for f in *; do echo $f $(base64 -w0 $f); done").stdout
        lines = (line.partition(" ") for line in listed.splitlines())
        self.image.keep_capabilities({name: base64.b64decode(text) for name, _, text in lines})
