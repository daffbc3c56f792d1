"""The real libvirt, LVM, DRBD, bridges and wire keep the promises that their fakes keep."""

from collections.abc import Callable, Iterator
from subprocess import Popen
from typing import Any, TypeVar, cast

import pytest

from mcv.document.drbd_settings import DrbdSettings
from mcv.drivers.bridge import Bridges
from mcv.drivers.drbd import Drbd
from mcv.drivers.drbd_resource_file import Side, resource_text
from mcv.drivers.libvirt import Hypervisor
from mcv.drivers.lvm import Lvm
from tests.contract import (
    Promise,
    bridges,
    domains,
    drbd,
    eventually,
    live_disks,
    live_machine,
    live_mirrors,
    live_nics,
    promises,
    replication,
    thin,
    volumes,
    wire,
)
from tests.contract.definition import definition, definition_of_disk
from tests.contract.resource import MINOR, RESOURCE, now, with_size
from tests.lab import Lab, Node, cluster, guests
from tests.lab.doors import RemoteDoor
from tests.lab.lab import side_by_side

T = TypeVar("T")

GUEST = "/var/lib/libvirt/images/contract.img"  # where QEMU's user may read it
HANDLER = "/root/contract-handler"
BACKING = f"/dev/vg0/{RESOURCE}"
HELD = "exec 3< {device}; echo held; read -r _"


class Holder:
    """Keeps a device of a node open until it is told to let go."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._shell: Popen[str] | None = None

    def hold(self, device: str) -> None:
        self._shell = self._node.start(HELD.format(device=device))
        assert self._shell.stdout is not None and self._shell.stdout.readline() == "held\n"

    def release(self) -> None:
        if self._shell is not None:
            self._shell.communicate("\n", timeout=10)
            self._shell = None


@pytest.fixture(scope="module")
def contract_nodes(lab: Lab) -> list[Node]:
    """Nodes 1 and 2 as one cluster, made once for all promises: each leaves what it found."""
    nodes = cluster.revive(lab, 2)
    if not cluster.is_as_joined(nodes):
        side_by_side(cluster.reset, nodes)
        cluster.join(nodes)
    return nodes


# Libvirt


class LibvirtStand:
    def __init__(self, node: Node) -> None:
        self._node = node
        self.domains = cast(Hypervisor, RemoteDoor(node, "domains"))
        self._can = self.domains.capabilities()

    def definition(
        self, name: str = domains.NAME, uuid: str = domains.UUID, memory_mib: int = 16
    ) -> str:
        return definition(self._can, name, uuid, memory_mib, image=GUEST)

    def disk(self, target: str) -> str:
        image = f"{GUEST}.{target}"
        self._node.run(f"truncate --size 1M {image}")
        return definition_of_disk(target, image)

    def volume(self, name: str) -> str:
        path = f"{GUEST}.{name}"
        self._node.run(f"truncate --reference {GUEST} {path}")
        return path

    def define_as_others_do(self, xml: str) -> None:
        self._node.put(xml.encode(), "/root/foreign.xml")
        self._node.run("virsh -q define /root/foreign.xml")

    def start_as_others_do(self, name: str) -> None:
        self._node.run(f"virsh -q start {name}")

    def raw_state(self, name: str) -> str:
        told = self._node.run(f"virsh -q domstate {name}", check=False)
        state = {"shut off": "stopped"}.get(told.stdout.strip(), told.stdout.strip())
        return state if told.code == 0 else "absent"

    def autostart(self, name: str) -> None:
        self._node.run(f"virsh -q autostart {name}")

    def kill(self, name: str) -> None:
        self._node.run(f"kill -KILL $(cat /run/libvirt/qemu/{name}.pid)")

    def save(self, name: str) -> None:
        self._node.run(f"virsh -q managedsave {name}")

    def spoil(self, name: str) -> None:
        self._node.run(f"mv {GUEST} {GUEST}.away")

    def clean(self) -> None:
        self._node.run(
            f"[ ! -e {GUEST}.away ] || mv {GUEST}.away {GUEST}; rm -f {GUEST}.?d? {GUEST}.[ab]"
        )
        # One start of virsh says whether there is anything: most promises leave nothing.
        self._node.run(
            "for name in $(virsh -q list --all --name); do"
            " virsh destroy $name; virsh undefine --managed-save $name; done",
            check=False,
        )


@pytest.fixture(scope="module")
def libvirt(contract_nodes: list[Node]) -> Iterator[LibvirtStand]:
    contract_nodes[0].put(guests.polite(), GUEST)
    stand = LibvirtStand(contract_nodes[0])
    yield stand
    cast(Any, stand.domains).close()


@pytest.mark.parametrize(
    "promise",
    promises(domains, live_disks, live_machine, live_mirrors, live_nics),
    ids=lambda one: one.__name__,
)
def test_libvirt(libvirt: LibvirtStand, promise: Promise) -> None:
    try:
        promise(libvirt)
    finally:
        libvirt.clean()


# LVM


class LvmStand:
    def __init__(self, node: Node) -> None:
        self.volumes = cast(Lvm, RemoteDoor(node, "volumes"))
        self._holder = Holder(node)

    def hold(self, name: str) -> None:
        self._holder.hold(f"/dev/{volumes.GROUP}/{name}")

    def release(self, name: str) -> None:
        self._holder.release()


@pytest.fixture(scope="module")
def lvm(contract_nodes: list[Node]) -> Iterator[LvmStand]:
    stand = LvmStand(contract_nodes[0])
    yield stand
    cast(Any, stand.volumes).close()


@pytest.mark.parametrize("promise", promises(volumes), ids=lambda one: one.__name__)
def test_lvm(lvm: LvmStand, promise: Promise) -> None:
    try:
        promise(lvm)
    finally:
        lvm.volumes.remove(volumes.GROUP, volumes.NAME)


@pytest.fixture(scope="module")
def thin_pool(lvm: LvmStand, contract_nodes: list[Node]) -> Iterator[LvmStand]:
    name, node = f"{volumes.GROUP}/{thin.POOL}", contract_nodes[0]
    node.run(f"lvcreate --yes --type thin-pool --size 16M --name {thin.POOL} {volumes.GROUP}")
    yield lvm
    node.run(f"lvremove --force {name}")


@pytest.mark.parametrize("promise", promises(thin), ids=lambda one: one.__name__)
def test_thin_pools(thin_pool: LvmStand, promise: Promise) -> None:
    try:
        promise(thin_pool)
    finally:
        thin_pool.volumes.remove(volumes.GROUP, volumes.NAME)


# Bridges


@pytest.mark.parametrize("promise", promises(bridges), ids=lambda one: one.__name__)
def test_bridges(kernel_bridges: Bridges, promise: Promise) -> None:
    promise(kernel_bridges)


@pytest.fixture(scope="module")
def kernel_bridges(contract_nodes: list[Node]) -> Iterator[Bridges]:
    door = RemoteDoor(contract_nodes[0], "bridges")
    yield cast(Bridges, door)
    door.close()


# DRBD


class DrbdStand:
    """A resource on both nodes; one that a promise left otherwise than born is made anew."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._doors = [cast(Drbd, RemoteDoor(node, "drbd")) for node in nodes]
        self.here, self.there = self._doors
        self.backing = BACKING
        self._holder = Holder(nodes[0])
        side_by_side(self._prepare, nodes)

    def born(self) -> None:
        if self._is_born():
            return
        self._side_by_side(lambda node, door: door.down(RESOURCE))
        self._side_by_side(lambda node, door: door.metadata.create(RESOURCE))
        self._side_by_side(lambda node, door: door.up(RESOURCE))
        eventually(lambda: all(now(door).connected for door in self._doors))
        self.here.metadata.new_current_uuid_clear_bitmap(RESOURCE, MINOR)
        eventually(self._is_born)

    def wiped(self) -> None:
        def wipe(node: Node, door: Drbd) -> None:
            door.down(RESOURCE)
            node.run(f"blkdiscard --zeroout {BACKING}")

        self._side_by_side(wipe)

    def differ(self) -> None:
        write = f"dd if=/dev/urandom of={BACKING} bs=4096 seek=8 count=1 conv=notrunc,fsync"
        self._nodes[1].run(f"{write} oflag=direct status=none")

    def detach(self) -> None:
        self._nodes[1].run(f"drbdadm detach {RESOURCE}")

    def give_size(self, size: int) -> None:
        for node in self._nodes:
            path = f"/etc/drbd.d/{RESOURCE}.res"
            node.put(with_size(node.run(f"cat {path}").stdout, size), path)

    def hold(self) -> None:
        self._holder.hold(f"/dev/drbd{MINOR}")

    def release(self) -> None:
        self._holder.release()

    def slow_down(self) -> None:
        self.here.verification.set_rate(RESOURCE, 64 << 10)

    def speed_up(self) -> None:
        self.here.verification.set_rate(RESOURCE, 200 << 20)

    def close(self) -> None:
        self._side_by_side(lambda node, door: door.down(RESOURCE))
        away = f"lvremove --force vg0/{RESOURCE}; rm /etc/drbd.d/{RESOURCE}.res {HANDLER}"
        side_by_side(lambda node: node.run(away), self._nodes)
        for door in self._doors:
            cast(Any, door).close()

    def _is_born(self) -> bool:
        def is_well(node: Node, door: Drbd) -> bool:
            seen = door.status(RESOURCE)
            if seen is not None and seen.is_primary:
                door.demote(RESOURCE)
            return seen is not None and seen.both_up_to_date and seen.out_of_sync == 0

        return all(self._side_by_side(is_well))

    def _side_by_side(self, do: Callable[[Node, Drbd], T]) -> list[T]:
        doors = dict(zip(self._nodes, self._doors, strict=True))
        return side_by_side(lambda node: do(node, doors[node]), self._nodes)

    def _prepare(self, node: Node) -> None:
        text = resource_text(
            DrbdSettings(),
            RESOURCE,
            minor=MINOR,
            port=7790,
            sides=[Side(one.name, one.name, one.address, BACKING) for one in self._nodes],
            generation=8,
            secret="contract",
            handler=HANDLER,
            state="/var/lib/mcv/n1",
        )
        # Two that connect look at their sockets for so long first: here nobody is busy.
        text = text.replace("ping-timeout 30", "ping-timeout 5")
        node.put(text, f"/etc/drbd.d/{RESOURCE}.res")
        node.put("#!/bin/sh\nexit 7\n", HANDLER)
        node.run(f"chmod 755 {HANDLER}; lvcreate --yes --name {RESOURCE} --size 8M vg0")
        # What was on its extents before may differ between the nodes.
        node.run(f"blkdiscard --zeroout {BACKING}")


@pytest.fixture(scope="module")
def kernel_drbd(contract_nodes: list[Node]) -> Iterator[DrbdStand]:
    stand = DrbdStand(contract_nodes)
    yield stand
    stand.close()


@pytest.mark.parametrize("promise", promises(replication, drbd), ids=lambda one: one.__name__)
def test_drbd(kernel_drbd: DrbdStand, promise: Promise) -> None:
    promise(kernel_drbd)


# The wire


class WireStand:
    def __init__(self, nodes: list[Node]) -> None:
        self._other = nodes[1]
        self.there = nodes[1].name
        self.door = RemoteDoor(nodes[0], "wire")

    def call(self, node: str, operation: str, /, **params: Any) -> Any:
        return self.door.call(node, operation, **params)

    def kill(self) -> None:
        # Killed, not stopped: a daemon that is stopped takes leave.
        self._other.run("systemctl kill --signal=KILL mcvd; systemctl stop mcvd")

    def revive(self) -> None:
        self._other.run("systemctl reset-failed mcvd; systemctl start mcvd")


@pytest.fixture(scope="module")
def tls_wire(contract_nodes: list[Node]) -> Iterator[WireStand]:
    stand = WireStand(contract_nodes)
    yield stand
    stand.door.close()


@pytest.mark.parametrize("promise", promises(wire), ids=lambda one: one.__name__)
def test_wire(tls_wire: WireStand, promise: Promise) -> None:
    promise(tls_wire)
