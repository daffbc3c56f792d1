"""The facts of a host that can be a member."""

from mcv.cluster.facts import NodeFacts
from mcv.document.schema import SCHEMA
from mcv.drbd.enable import DrbdAbility
from mcv.storage.rooms import Room
from mcv.vm.capacity import Capacity

ROOM = Capacity(
    rooms={"lvm": Room(location="vg0", type="lvm", size=1 << 40, free=1 << 40, extent=1 << 22)},
    minors=[],
    ports=[],
    memory=1 << 36,
    bridges=["br-lan"],
)


def blank_facts(name: str, address: str, certificate: str = "") -> NodeFacts:
    return NodeFacts(
        version="0.1.0",
        schema=SCHEMA,
        node=name,
        hostname=name,
        resolves=address,
        address=address,
        drbd_address=address,
        port=8420,
        certificate=certificate,
        time=1000.0,
        cluster=name,
        members=[name],
        vms=[],
        networks=[],
        reached={},
        trouble=[],
        emulator="/usr/bin/qemu",
        domain_type="kvm",
        domains=[],
        capacity=ROOM,
        drbd=DrbdAbility(kernel="9.1.16", utils="9.22.0", generation=8),
    )
