"""Plain values: the replicated document and what it is made of."""

import hashlib
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, field
from msgspec.structs import replace

from mcv.document import schema
from mcv.document.generation import ChangeMade, Epoch, EpochNow, Value
from mcv.document.names import Address, Name, PlainName
from mcv.document.schema import SCHEMA
from mcv.document.subject import Subject
from mcv.errors import NotFound, Refused

REMEMBERED_CHANGES = 256

Bytes = Annotated[int, Meta(ge=0)]
Status = Literal["online", "offline"]
Autostart = Literal["yes", "no", "last"]
Result = Literal["clean", "out-of-sync", "interrupted", "never", "running"]


class Claim(Value, frozen=True, kw_only=True):
    """The operation that may act on a VM, a network or a member now, and who carries it out.

    The number is the (epoch, generation) of the change that set it: a later claim of the
    same name has a larger one, so that a call of an earlier one is told from it.
    """

    operation: PlainName
    node: str
    epoch: int
    generation: int
    why: str
    since: str


class Node(Value, frozen=True, kw_only=True):
    """A member: where it answers, and the certificate that it is."""

    name: Name
    hostname: PlainName
    ip_address: Address
    drbd_address: Address
    certificate: str
    status: Status = "online"
    maintenance: bool = False
    claim: Claim | None = None


class Network(Value, frozen=True, kw_only=True):
    """A name for a bridge that exists on every node."""

    name: Name
    bridge: PlainName
    claim: Claim | None = None


class Verification(Value, frozen=True, kw_only=True):
    """The last verification of a disk: its result counts until the next one."""

    result: Result = "never"
    when: str = ""
    who: str = ""
    out_of_sync: Bytes = 0
    seconds: float = 0.0
    blocked: bool = False
    operation: str = ""


class AnyDisk(Value, frozen=True, kw_only=True, tag_field="storage"):
    """What every kind of disk has; the tag `storage` names the kind."""

    id: int
    size: Bytes

    @property
    def storage(self) -> str:
        return str(self.__struct_config__.tag)

    @property
    def target(self) -> str:
        return f"vd{chr(ord('a') + self.id - 1)}"


class DrbdDisk(AnyDisk, frozen=True, kw_only=True, tag="drbd"):
    """A replicated disk: a replica, on a logical volume, on each of its nodes."""

    volume: PlainName
    volume_groups: dict[Name, PlainName]
    resource: PlainName
    minor: int
    port: int
    verification: Verification = Verification()

    @property
    def places(self) -> dict[Name, str]:
        """Where the bytes are: the volume group on each node that has a copy."""
        return self.volume_groups

    @property
    def blocked(self) -> bool:
        """Whether the disk must not be used before its VM's owner has had it verified."""
        return self.verification.blocked

    @property
    def device(self) -> str:
        """Where the guest's bytes are: the DRBD device."""
        return f"/dev/drbd{self.minor}"

    def backing(self, node: str) -> str:
        """The logical volume below the DRBD device on one node."""
        return f"/dev/{self.volume_groups[node]}/{self.volume}"

    def clash(self, other: "Disk") -> str:
        """What both disks would have that a host has once; "" where they get along."""
        if self.minor == other.minor or self.port == other.port:
            return f"Minor {self.minor} or port {self.port}"
        return ""


# A union over the tag: each kind of storage has its own member, and a module in storage/.
Disk: TypeAlias = DrbdDisk


class Nic(Value, frozen=True, kw_only=True):
    network: Name
    mac: str


class Override(Value, frozen=True, kw_only=True):
    """Once, somebody started or moved a VM past a failed verification."""

    who: str
    when: str
    what: str


class Vm(Value, frozen=True, kw_only=True):
    """A VM: what it is made of, the node that owns it, and the nodes where it may run.

    `autostart`: whether it starts with its node, `last` as it was when the node went down.
    VMs start in the order of `start_order`, `start_delay` seconds after each. A change of owner,
    and of a disk behind the guest's back, raises `incarnation`: a state saved before is void.
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

    @property
    def storage(self) -> str:
        return self.disks[0].storage if self.disks else "none"

    @property
    def blocked(self) -> bool:
        return any(disk.blocked for disk in self.disks)

    def other(self, node: str) -> str:
        """The node that holds the other replica; the same one where there is none."""
        return next((other for other in self.nodes if other != node), node)

    def disk(self, number: int) -> Disk:
        return next(disk for disk in self.disks if disk.id == number)

    def renewed(self) -> "Vm":
        """The VM in its next incarnation: memory that was saved before does not fit it."""
        return replace(self, incarnation=self.incarnation + 1)

    def with_disk(self, disk: Disk) -> "Vm":
        return replace(self, disks=tuple(disk if old.id == disk.id else old for old in self.disks))


class DrbdSettings(Value, frozen=True, kw_only=True):
    """What holds for every resource of the cluster; rates in bytes a second.

    The dynamic controller of DRBD 8.4 begins at about 1 MB/s, so its plan-ahead is off
    and the fixed rate counts. `secret_id` names the secret in use, "" the first one.
    """

    enabled: bool = False
    resync_rate: Bytes = 200 * 1024**2
    verify_rate: Bytes = 200 * 1024**2
    on_peer_loss: Literal["continue", "wait"] = "continue"
    secret_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{0,32}\Z")] = ""


class Permissions(Value, frozen=True, kw_only=True):
    """Superusers by name; while there is none, every user that sudo lets through is one."""

    superusers: tuple[str, ...] = ()


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

    def claim_of(self, subject: Subject) -> Claim | None:
        """The claim on a subject; None where it is unclaimed, or not in the document."""
        if subject.kind == "vm":
            vm = self.vms.get(subject.name)
            return vm.claim if vm else None
        node = self.nodes.get(subject.name)
        return node.claim if node else None

    def subjects(self) -> list[Subject]:
        """Everything that an operation can claim."""
        return [*map(Subject.vm, self.vms), *map(Subject.node, self.nodes)]

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

    def disks(self) -> list[tuple[Vm, Disk]]:
        return [(vm, disk) for vm in self.vms.values() for disk in vm.disks]

    def by_resource(self, resource: str) -> tuple[Vm, Disk]:
        for vm, disk in self.disks():
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
