"""What nodes can give to a new VM or to a new disk, and where its disks lie then."""

from msgspec.structs import replace

from mcv import sizes
from mcv.document.disks import Disk, DrbdDisk, SharedDisk
from mcv.document.model import Cluster, Vm
from mcv.document.pools import Pool
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.settings import FIRST_DRBD_MINOR, FIRST_DRBD_PORT
from mcv.storage import room_for
from mcv.storage.rooms import IMPLICIT
from mcv.system.answers import ask_living_typed
from mcv.vm import hardware_choice
from mcv.vm.capacity import Capacity
from mcv.vm.validation import Problems

SIGN = 5.0  # seconds that a node has to give a sign of life
FACTS = 20.0  # that one which lives has to say what it can give: it may look at QEMU first


def facts_of(host: Host, vm: Vm, problems: Problems) -> dict[str, Capacity]:
    """What each node of the VM can give; a silent or offline node is a problem."""
    facts: dict[str, Capacity] = {}
    places = {node for disk in vm.disks for node in disk.places}
    known = [node for node in host.read().nodes if node == host.name or node in places]
    for node, answer in _capacities(host, known).items():
        if isinstance(answer, McvError):
            problems.add(f"{node} is needed: {answer.message}", answer.hint)
        else:
            facts[node] = answer
            if vm.memory > answer.memory:
                problems.found.append(_too_little(node, vm.memory, answer))
            problems.found += hardware_choice.why_not(node, vm, answer)
            missing = sorted(
                {
                    bridge
                    for nic in vm.nics
                    if (bridge := host.read().networks[nic.network].bridge_on(node))
                    not in answer.bridges
                }
            )
            for bridge in missing:
                problems.add(f"{node} has no bridge {bridge}.", "Make it on the host.")
    return facts


def why_no_memory(host: Host, memory: int, nodes: list[str]) -> list[Refused]:
    """Why some of these nodes cannot give a VM that much memory; a silent node is a problem."""
    found = []
    for node, answer in _capacities(host, nodes).items():
        if isinstance(answer, McvError):
            found.append(Refused(f"{node} is needed: {answer.message}", answer.hint))
        elif memory > answer.memory:
            found.append(_too_little(node, memory, answer))
    return found


def _capacities(host: Host, nodes: list[str]) -> dict[str, Capacity | McvError]:
    return ask_living_typed(host.call, nodes, "node.capacity", SIGN, Capacity, answer=FACTS)


def _too_little(node: str, memory: int, answer: Capacity) -> Refused:
    shown = sizes.shown(answer.memory)
    return Refused(f"{node} has {shown} of memory, less than {sizes.shown(memory)}.")


def placed(cluster: Cluster, vm: Vm, facts: dict[str, Capacity]) -> Vm:
    """The VM with its disks' locations, and with minors and ports that are free everywhere."""
    taken_minors = {disk.minor for _, disk in cluster.replicated()}
    taken_ports = {port for _, disk in cluster.replicated() for port in disk.ports}
    for fact in facts.values():
        taken_minors |= set(fact.minors)
        taken_ports |= set(fact.ports)
    placed: list[Disk] = []
    for disk in vm.disks:
        if isinstance(disk, SharedDisk):
            placed.append(disk)
            continue
        pool = disk.pool or IMPLICIT
        disk = replace(
            disk, places={node: facts[node].rooms[pool].location for node in disk.places}
        )
        if isinstance(disk, DrbdDisk):
            minor = next(n for n in range(FIRST_DRBD_MINOR, 1 << 20) if n not in taken_minors)
            port = next(n for n in range(FIRST_DRBD_PORT, 1 << 16) if n not in taken_ports)
            taken_minors.add(minor)
            taken_ports.add(port)
            disk = replace(disk, minor=minor, port=port)
        placed.append(disk)
    return replace(vm, disks=tuple(placed))


def new_pools(cluster: Cluster, vm: Vm) -> dict[str, Pool]:
    """The pool of volume groups that the document lacks, or what it lacks of it."""
    known = cluster.pools[IMPLICIT].nodes if IMPLICIT in cluster.pools else {}
    places = {
        node: location.partition("/")[0]
        for disk in vm.disks
        if disk.pool == IMPLICIT
        for node, location in disk.places.items()
        if node not in known
    }
    return {IMPLICIT: Pool(type="lvm", nodes=places)} if places else {}


def judge_room(vm: Vm, facts: dict[str, Capacity], problems: Problems) -> None:
    """Whether each pool of each node has room for the disks that lie there."""
    for node, fact in facts.items():
        here = [disk for disk in vm.disks if node in disk.places or disk.storage == "shared"]
        for pool in sorted({disk.pool or IMPLICIT for disk in here}):
            room = fact.rooms.get(pool)
            disks = [disk for disk in here if (disk.pool or IMPLICIT) == pool]
            if room is None:
                problems.add(f"{node} has no pool {pool}.", "See: mcv pool list")
            elif room.problem:
                problems.add(f"{node}: {room.problem}", room.hint)
            else:
                problems.found += room_for.why_not(node, pool, room, disks)
