"""Plain values: the replicated document and what it is made of."""

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field
from msgspec.structs import replace

from mcv.document import schema
from mcv.document.availability import EtcdStore, Ha, Witness
from mcv.document.claim import Claim
from mcv.document.disks import Bytes, Disk, DrbdDisk, Override
from mcv.document.drbd_settings import DrbdSettings
from mcv.document.fencing import FenceDevice
from mcv.document.generation import ChangeMade, Epoch, EpochNow, Value
from mcv.document.ha_entries import MOST_TIES, FailoverDomain, HaEntry, Service, Tie
from mcv.document.hardware import (
    BootDevice,
    Clock,
    Cpu,
    Device,
    Firmware,
    Keymap,
    Machine,
    Video,
    Watchdog,
)
from mcv.document.labels import Description, Tags
from mcv.document.names import Name, NameOrNothing, PlainName
from mcv.document.networks import Network, Nic
from mcv.document.node import Node as Node
from mcv.document.pools import DEFAULT, DEFAULT_LOCATION, Image, Pool
from mcv.document.rights import Permissions
from mcv.document.schema import SCHEMA
from mcv.document.subject import FIELD_OF, Kind, Subject
from mcv.errors import NotFound, Refused

MOST_APPEND = 2047  # bytes: a Linux kernel of x86 reads no more
MOST_OVERLAY = 64 * 1024  # characters
REMEMBERED_CHANGES = 256

Autostart = Literal["yes", "no", "last"]


class Vm(Value, frozen=True, kw_only=True):
    """A VM: what it is made of, the node that owns it, and the nodes where it may run.

    `autostart`: whether it starts with its node, `last` as it was when the node went down.
    VMs start in the order of `start_order`, `start_delay` seconds after each. A change of owner,
    and of a disk behind the guest's back, raises `incarnation`: a state saved before is void.
    `last_disk` is the highest id that a disk of the VM has had, where that disk is gone.
    `append` are the words for a kernel that is booted directly. `machine` is "" for a VM of before
    a VM had one: it stays a `pc`. `boot` is what it boots from, in this order; () is the usual
    order. `cd` is the image in its CD drive.

    `home` is the node where an operator last put the VM; "" in a document of before schema 4.
    `cpu_limit` is in percent of one CPU, 0 for no limit. A VM has no watchdog device where
    `watchdog` is "". `video`, `keyboard` and `clock` are "" where QEMU and libvirt choose.
    `overlay` is XML that is laid over the domain's.
    """

    name: Name
    uuid: PlainName
    memory: Bytes
    cpus: int
    node: Name
    nodes: tuple[Name, ...]
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    locked: bool = False
    claim: Claim | None = None
    override: Override | None = None
    autostart: Autostart = "last"
    start_order: int = 0
    start_delay: Annotated[int, Meta(ge=0)] = 0
    incarnation: int = 0
    last_disk: int = 0
    machine: Machine = ""
    firmware: Firmware = "bios"
    boot: tuple[BootDevice, ...] = ()
    cpu: Cpu | None = None
    cd: NameOrNothing = ""
    append: Annotated[str, Meta(max_length=MOST_APPEND)] = ""
    home: NameOrNothing = ""
    description: Description = ""
    tags: Tags = ()
    protected: bool = False
    cpu_limit: Annotated[int, Meta(ge=0)] = 0
    watchdog: Watchdog = ""
    video: Video = ""
    keyboard: Keymap = ""
    clock: Clock = ""
    devices: tuple[Device, ...] = ()
    overlay: Annotated[str, Meta(max_length=MOST_OVERLAY)] = ""

    @property
    def storage(self) -> str:
        """The kind of all data disks, "mixed" for several kinds, "none" without disks."""
        data = [disk for disk in self.disks if disk.role == "data"]
        kinds = {disk.storage for disk in data or self.disks}
        return kinds.pop() if len(kinds) == 1 else "mixed" if kinds else "none"

    @property
    def replicated(self) -> tuple[DrbdDisk, ...]:
        return tuple(disk for disk in self.disks if isinstance(disk, DrbdDisk))

    @property
    def next_disk(self) -> int:
        """The id for another disk: none that a disk of this VM ever had."""
        return max(self.last_disk, *(disk.id for disk in self.disks), 0) + 1

    @property
    def blocked(self) -> bool:
        return any(disk.blocked for disk in self.disks)

    def other(self, node: str) -> str:
        """The node that holds the other replica, or may run the VM; the same where none does."""
        holders = (other for disk in self.replicated for other in sorted(disk.places))
        return next((other for other in (*holders, *self.nodes) if other != node), node)

    def disk(self, number: int) -> Disk:
        found = next((disk for disk in self.disks if disk.id == number), None)
        if found is None:
            raise NotFound(f"{self.name} has no disk {number}.", f"See: mcv disk list {self.name}")
        return found

    def replica(self, number: int) -> DrbdDisk:
        """A replicated disk; NotFound for a disk of another kind."""
        found = self.disk(number)
        if not isinstance(found, DrbdDisk):
            raise NotFound(f"Disk {number} of {self.name} is not replicated.")
        return found

    def renewed(self) -> "Vm":
        """The VM in its next incarnation: memory that was saved before does not fit it."""
        return replace(self, incarnation=self.incarnation + 1)

    def with_disk(self, disk: Disk) -> "Vm":
        return replace(self, disks=tuple(disk if old.id == disk.id else old for old in self.disks))


class Cluster(Value, frozen=True, kw_only=True):
    """The replicated document, one generation of it."""

    schema: int = SCHEMA
    name: str
    epoch: EpochNow
    generation: int
    parent: str
    change: ChangeMade
    changes: tuple[str, ...] = ()
    epochs: tuple[Epoch, ...] = ()
    nodes: dict[Name, Node] = field(default_factory=dict)
    permissions: Permissions = Permissions()
    networks: dict[Name, Network] = field(default_factory=dict)
    drbd: DrbdSettings = DrbdSettings()
    vms: dict[Name, Vm] = field(default_factory=dict)
    pools: dict[Name, Pool] = field(default_factory=dict)
    images: dict[Name, Image] = field(default_factory=dict)
    cpu_baseline: Cpu | None = None
    store: EtcdStore | None = None  # None: the members agree unanimously
    witness: Witness | None = None
    ha: Ha = Ha()
    ha_vms: dict[Name, HaEntry] = field(default_factory=dict)  # the VMs that HA manages
    services: dict[Name, Service] = field(default_factory=dict)
    domains: dict[Name, FailoverDomain] = field(default_factory=dict)
    ties: Annotated[tuple[Tie, ...], Meta(max_length=MOST_TIES)] = ()
    fence_devices: dict[Name, FenceDevice] = field(default_factory=dict)

    @property
    def online(self) -> list[str]:
        return sorted(name for name, node in self.nodes.items() if node.status == "online")

    @property
    def coordinator(self) -> str:
        """The first online member by name: it writes the changes."""
        return self.online[0] if self.online else ""

    @property
    def version(self) -> tuple[int, str, int]:
        return self.epoch.number, self.epoch.id, self.generation

    def vm(self, name: str) -> Vm:
        if name not in self.vms:
            raise NotFound(f"There is no VM {name}.", "See: mcv list")
        return self.vms[name]

    def node(self, name: str) -> Node:
        if name not in self.nodes:
            raise NotFound(f"There is no node {name}.", f"Nodes: {', '.join(sorted(self.nodes))}.")
        return self.nodes[name]

    def network(self, name: str) -> Network:
        if name not in self.networks:
            raise NotFound(f"There is no network {name}.", "See: mcv network list")
        return self.networks[name]

    @property
    def nats(self) -> list[str]:
        """The networks that are libvirt's own on each node."""
        return [name for name, network in self.networks.items() if network.nat]

    def claim_of(self, subject: Subject) -> Claim | None:
        """The claim on a subject; None where it is unclaimed, or not in the document."""
        entry = self._of_kind(subject.kind).get(subject.name)
        return entry.claim if entry else None

    def with_claim(self, subject: Subject, claim: Claim | None) -> "Cluster":
        """The document with another claim on a subject; NotFound where it has no such subject."""
        entries = self._of_kind(subject.kind)
        if subject.name not in entries:
            raise NotFound(f"There is no {subject.kind} {subject.name}.")
        changed = {**entries, subject.name: replace(entries[subject.name], claim=claim)}
        return replace(self, **{FIELD_OF[subject.kind]: changed})

    def subjects(self) -> list[Subject]:
        """Everything that an operation can claim."""
        return [Subject(kind, name) for kind in FIELD_OF for name in self._of_kind(kind)]

    def _of_kind(self, kind: Kind) -> dict[str, Vm | Node | Pool | Image | Service]:
        entries: dict[str, Vm | Node | Pool | Image | Service] = getattr(self, FIELD_OF[kind])
        return entries

    def with_vm(self, vm: Vm) -> "Cluster":
        return replace(self, vms={**self.vms, vm.name: vm})

    def without_vm(self, name: str) -> "Cluster":
        return replace(self, vms={key: vm for key, vm in self.vms.items() if key != name})

    def with_node(self, node: Node) -> "Cluster":
        return replace(self, nodes={**self.nodes, node.name: node})

    def without_node(self, name: str) -> "Cluster":
        return replace(self, nodes={key: node for key, node in self.nodes.items() if key != name})

    def with_network(self, network: Network) -> "Cluster":
        return replace(self, networks={**self.networks, network.name: network})

    def without_network(self, name: str) -> "Cluster":
        kept = {key: network for key, network in self.networks.items() if key != name}
        return replace(self, networks=kept)

    @property
    def all_pools(self) -> dict[str, Pool]:
        """Every pool by name, `default` among them, which every node has."""
        default = Pool(type="dir", nodes=dict.fromkeys(sorted(self.nodes), DEFAULT_LOCATION))
        return {DEFAULT: default, **self.pools}

    def pool(self, name: str) -> Pool:
        pools = self.all_pools
        if name not in pools:
            raise NotFound(f"There is no pool {name}.", f"Pools: {', '.join(sorted(pools))}.")
        return pools[name]

    def image(self, name: str) -> Image:
        if name not in self.images:
            raise NotFound(f"There is no image {name}.", "See: mcv image list")
        return self.images[name]

    def disks(self) -> list[tuple[Vm, Disk]]:
        return [(vm, disk) for vm in self.vms.values() for disk in vm.disks]

    def replicated(self) -> list[tuple[Vm, DrbdDisk]]:
        """Every replicated disk, with its VM."""
        return [(vm, disk) for vm in self.vms.values() for disk in vm.replicated]

    def by_resource(self, resource: str) -> tuple[Vm, DrbdDisk]:
        for vm, disk in self.replicated():
            if disk.resource == resource:
                return vm, disk
        raise NotFound(f"No VM has the resource {resource}.")


_decoder = msgspec.json.Decoder(Cluster)
_encoder = msgspec.json.Encoder(order="deterministic")


def encode(cluster: Cluster) -> str:
    """The document as text, always the same for the same document: its hash is over this.

    The text is in the document's own schema, which every online member reads.
    """
    if cluster.schema == SCHEMA:
        return _encoder.encode(cluster).decode()
    raw = schema.older(msgspec.to_builtins(cluster, order="deterministic"), cluster.schema)
    return msgspec.json.encode(raw).decode()


def decode(text: str | bytes) -> Cluster:
    """Read a document of this schema or an older one; Refused, saying where, for other text."""
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError) as error:
        schema.check(text)
        raise Refused(f"The document cannot be read: {error}") from error


def digest(cluster: Cluster) -> str:
    return hashlib.sha256(encode(cluster).encode()).hexdigest()
