"""Whether the locks of two nodes exclude each other in a shared pool, and who has a disk locked.

QEMU locks each image that it opens. In a shared pool nothing else keeps a node that was taken
for dead from writing to a disk that another node has taken over.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from mcv.document.disks import SharedDisk
from mcv.document.model import Vm
from mcv.document.names import Location
from mcv.document.pools import Pool
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.system.answers import decoded

TRY = 20.0  # s that a node has to take a lock, or to be refused it
PROOF = 90.0  # s that a node has to have its lock tried by another one


class LockTried(Struct, frozen=True, kw_only=True):
    """Whether a node could take the lock of a probe."""

    is_free: bool


class LockProof(Struct, frozen=True, kw_only=True):
    """Why the locks of two nodes do not exclude each other; "" where they do."""

    problem: str = ""


class Excluding(Struct, frozen=True, kw_only=True):
    """The nodes of a pool whose locks exclude each other, and why others are none of them."""

    nodes: list[str] = []
    problems: list[str] = []


def try_lock(host: Host, location: str) -> LockTried:
    """Answer another node: whether the lock that it may hold keeps this node out.

    Errors: CommandFailed where this node does not see the probe, or has no locks.
    """
    return LockTried(is_free=host.directories.is_free(msgspec.convert(location, Location)))


def prove(host: Host, location: str, peer: str, there: str) -> LockProof:
    """Have a peer try a lock while nobody holds it, and while this node does.

    A lock that the peer cannot have either way proves nothing: its file system may have no
    locks. Effect: a probe is made and deleted; no lock is left.
    """
    try:
        with host.directories.lock_probe(msgspec.convert(location, Location)) as hold:
            if not _is_free_for(host, peer, there):
                return LockProof(problem=f"{peer} cannot lock a file that nobody has locked.")
            with hold():
                if _is_free_for(host, peer, there):
                    return LockProof(problem=f"{peer} took the lock that {host.name} held.")
    except McvError as error:
        return LockProof(problem=f"{peer} and {host.name}: {error.message}")
    return LockProof()


def _is_free_for(host: Host, peer: str, there: str) -> bool:
    answer = host.call(peer, "pool.try_lock", timeout=TRY, location=there)
    return decoded(peer, "pool.try_lock", answer, LockTried).is_free


def excluding(host: Host, witness: str, location: str, others: Mapping[str, str]) -> Excluding:
    """Which nodes' locks exclude those of the witness, by their locations.

    Locks are their server's: nodes whose locks exclude those of one node exclude each other.
    """
    nodes, problems = [], []
    for node, there in sorted(others.items()):
        where = {"location": location, "peer": node, "there": there}
        try:
            answer = host.call(witness, "pool.prove_locks", timeout=PROOF, **where)
            problem = decoded(witness, "pool.prove_locks", answer, LockProof).problem
        except McvError as error:
            problem = error.message
        if problem:
            problems.append(problem)
        else:
            nodes.append(node)
    return Excluding(nodes=[witness, *nodes] if nodes else [], problems=problems)


def of_new_pool(host: Host, nodes: Mapping[str, str]) -> Excluding:
    """Which nodes of a new shared pool exclude each other; the first one is the witness."""
    witness, *others = sorted(nodes)
    return excluding(host, witness, nodes[witness], {node: nodes[node] for node in others})


def of_new_node(host: Host, pool: Pool, node: str, location: str) -> Excluding:
    """Whether a new node's locks exclude those that a shared pool knows of."""
    online = [name for name in pool.locks or sorted(pool.nodes) if name in host.read().online]
    if not online:
        return Excluding(problems=["No node of the pool is online to try locks with."])
    return excluding(host, online[0], pool.nodes[online[0]], {node: location})


def why_not_take_over(host: Host, vm: Vm, disk: SharedDisk) -> Refused | None:
    """What forbids this node to own a VM whose shared disk the owner may still write to.

    Precondition: the directory here is the pool's. Effect: QEMU's lock of the disk is taken and
    given back, where the locks of both nodes were seen to exclude each other.
    """
    pool = host.read().pool(disk.pool)
    if not {host.name, vm.node} <= set(pool.locks):
        return Refused(
            f"In pool {disk.pool} the locks of {vm.node} and {host.name} were not seen to exclude "
            f"each other, so nothing tells whether {vm.node} still writes to disk {disk.id} of "
            f"{vm.name}.",
            f"Bring {vm.node} back. Locks are tried when a node gets the pool: "
            f"mcv pool add-node {disk.pool} --node N",
        )
    try:
        is_free = host.directories.is_free(pool.nodes[host.name], disk.volume)
    except McvError as error:
        return Refused(error.message, error.hint)
    if is_free:
        return None
    return Refused(
        f"Disk {disk.id} of {vm.name} is open: QEMU, on {vm.node} or elsewhere, has its lock.",
        f"End {vm.name} there first; what holds a lock, the file system's server knows.",
    )
