"""What must be known of a host to judge whether it can be a member."""

import os
import socket
import time

from msgspec import Struct

import mcv
from mcv.cluster import arming_look, etcd_steps
from mcv.cluster.arming_look import NodeLook
from mcv.document.schema import SCHEMA
from mcv.drbd import enable
from mcv.drivers.libvirt_identity import uuid_of
from mcv.drivers.libvirt_nics import macs_in
from mcv.errors import McvError
from mcv.ha.timing import PACES
from mcv.host import Host
from mcv.settings import resolved_address
from mcv.storage import rooms
from mcv.system.addresses import without_port
from mcv.vm.capacity import Capacity, capacity

REACH = 3.0


class NamedDomain(Struct, frozen=True, kw_only=True):
    """A domain of a host, whoever made it."""

    name: str
    uuid: str
    macs: list[str] = []


class NodeFacts(Struct, frozen=True, kw_only=True):
    """A host before it joins: its identity, what it holds, what it can do, whom it reaches.

    What a tool did not tell is None, and `trouble` says why. `drbd` is None too where the
    cluster does not use DRBD. `reached` are the addresses that were to be tried (IP:PORT);
    `rights_of` the users and %groups to whom the host's own document gives a right. etcd would
    know it by `etcd_certificate`; `etcd_lacks` is why it cannot run one. `watchdog` is what it
    would be armed by.
    """

    version: str
    schema: int
    node: str
    hostname: str
    resolves: str
    address: str
    drbd_address: str
    port: int
    certificate: str
    time: float
    cluster: str
    members: list[str]
    vms: list[str]
    networks: list[str]
    reached: dict[str, bool]
    trouble: list[str]
    emulator: str | None = None
    domain_type: str | None = None
    domains: list[NamedDomain] | None = None
    capacity: Capacity | None = None
    drbd: enable.DrbdAbility | None = None
    rights_of: list[str] = []
    etcd_certificate: str = ""
    etcd_lacks: list[str] = []
    watchdog: NodeLook | None = None


class Machine(Struct, kw_only=True):
    """What libvirt and LVM of this host tell."""

    emulator: str | None = None
    domain_type: str | None = None
    domains: list[NamedDomain] | None = None
    capacity: Capacity | None = None


def facts(host: Host, reach: list[str] | None = None) -> NodeFacts:
    """Gather the facts of this host; `reach` are addresses (IP:PORT) to try a connection to."""
    cluster, settings = host.read(), host.settings
    trouble: list[str] = []
    machine = _machine(host, trouble)
    return NodeFacts(
        version=mcv.__version__,
        schema=SCHEMA,
        node=settings.node,
        hostname=os.uname().nodename,
        resolves=resolved_address(os.uname().nodename),
        address=settings.address,
        drbd_address=settings.drbd_address,
        port=settings.port,
        certificate=host.certificate,
        time=time.time(),
        cluster=cluster.name,
        members=sorted(cluster.nodes),
        vms=sorted(cluster.vms),
        networks=sorted(cluster.networks),
        reached={address: _reaches(address) for address in reach or []},
        trouble=trouble,
        emulator=machine.emulator,
        domain_type=machine.domain_type,
        domains=machine.domains,
        capacity=machine.capacity,
        drbd=enable.able(host) if cluster.drbd.enabled or reach else None,
        rights_of=cluster.permissions.whose,
        etcd_certificate=host.etcd.certificate(settings.address) if settings.address else "",
        etcd_lacks=etcd_steps.lacks(host),
        watchdog=arming_look.look(host, PACES[0], trust_softdog=True),
    )


def _machine(host: Host, trouble: list[str]) -> Machine:
    machine = Machine()
    try:
        can = host.domains.capabilities()
        machine.emulator = host.settings.emulator or can.emulator
        machine.domain_type = host.settings.domain_type or can.domain_type
        machine.domains = [
            NamedDomain(name=name, uuid=uuid_of(definition.xml), macs=macs_in(definition.xml))
            for name, definition in sorted(host.domains.definitions().items())
        ]
    except McvError as error:
        trouble.append(f"libvirt: {error.message}")
    lvm = rooms.lvm_view(host)
    if lvm.error is not None:
        trouble.append(f"LVM: {lvm.error.message}")
    else:
        machine.capacity = capacity(host)
    return machine


def _reaches(address: str) -> bool:
    try:
        with socket.create_connection(without_port(address), timeout=REACH):
            return True
    except (OSError, ValueError):
        return False
