"""Creating a VM: everything is judged first, all problems at once, and then made as one."""

import logging
import os
import uuid
from typing import Any

from msgspec.structs import replace

from mcv import sizes
from mcv.errors import McvError, Refused, RepairNeeded, refuse_all
from mcv.host import Host, shown
from mcv.model import Cluster, Disk, Nic, Vm, plain, problem_with_name
from mcv.settings import FIRST_DRBD_MINOR, FIRST_DRBD_PORT
from mcv.storage.lvm import drbd_size
from mcv.together import ask_all
from mcv.vm import image as images
from mcv.vm.domain_xml import new_mac
from mcv.vm.plans import create_plan

log = logging.getLogger(__name__)

LEAST_MEMORY = 4 * 1024**2
MOST_MEMORY = 64 * 1024**4
LEAST_DISK = 1024**2
MOST_DISK = 1024**5
MOST_CPUS = 255
MOST_DISKS = 20
FACTS = 10.0


class Problems:
    """Collects refusals, so that the operator reads all of them at once."""

    def __init__(self) -> None:
        self.found: list[Refused] = []

    def add(self, message: str, hint: str = "") -> None:
        self.found.append(Refused(message, hint))

    def size(self, text: str, what: str, least: int, most: int) -> int:
        try:
            size = sizes.parse(text, what)
        except Refused as problem:
            self.found.append(problem)
            return 0
        if not least <= size <= most:
            self.add(
                f"{text} makes no sense for the {what}.",
                f"It can be {sizes.shown(least)} to {sizes.shown(most)}.",
            )
        return size


def create(
    host: Host,
    name: str,
    memory: str,
    cpus: int = 1,
    disks: list[str] | None = None,
    storage: str | None = None,
    pool: str | None = None,
    image: dict[str, Any] | None = None,
    nodes: list[str] | None = None,
    networks: list[str] | None = None,
    iso: str | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Create a VM that this node owns.

    `image` says where the first disk's bytes are: {"node", "token", "size"}. Raises
    Refused with every reason at once; Failed when it was begun and everything was undone.
    """
    host.agreed.require_touch()
    cluster = host.read()
    problems = Problems()
    vm = _judged(host, cluster, problems, name, memory, cpus, disks or [], storage, nodes, networks)
    for given, what in ((pool, "--pool"), (iso, "--iso")):
        if given is not None:
            problems.add(f"{what} is not there yet.", "Leave it out.")
    if image is not None:
        _judge_image(problems, image, vm)
    facts = _facts(host, vm, problems)
    if not problems.found and vm.disks:
        vm = _placed(host, cluster, vm, facts, problems)
    if vm.disks and facts:
        _judge_room(vm, facts, problems)
    refuse_all(problems.found)
    why = f"create {name}"
    source, token = (image["node"], image["token"]) if image else (host.name, None)
    plan = create_plan(vm, source, token, why)
    if dry_run:
        return shown(plan)
    try:
        host.carry_out(why, plan, f"vm:{name}")
    except RepairNeeded:
        raise
    except McvError:
        _let_go(host, source, token)
        raise
    _let_go(host, source, token)
    return {"name": name, "node": vm.node, "nodes": list(vm.nodes), "vm": plain(vm)}


def _let_go(host: Host, source: str, token: str | None) -> None:
    """Let the image go where it is held open; it goes by itself after a day."""
    if token is None:
        return
    try:
        host.call(source, "image.drop", token=token)
    except McvError as error:
        log.info("letting an image go on %s: %s", source, error)


def _judged(
    host: Host,
    cluster: Cluster,
    problems: Problems,
    name: str,
    memory: str,
    cpus: int,
    disks: list[str],
    storage: str | None,
    nodes: list[str] | None,
    networks: list[str] | None,
) -> Vm:
    """The VM as asked for, volumes not yet placed; what is wrong with it goes to problems."""
    problem = problem_with_name(name, "VM")
    if problem:
        problems.found.append(problem)
    elif name in cluster.vms:
        problems.add(f"There is a VM {name} already.", "See: mcv list")
    wanted = _judge_nodes(host, cluster, problems, nodes, bool(disks))
    _judge_storage(cluster, problems, storage, wanted, bool(disks))
    if not 1 <= cpus <= MOST_CPUS:
        problems.add(f"{cpus} makes no sense as a number of CPUs.", f"It can be 1 to {MOST_CPUS}.")
    if len(disks) > MOST_DISKS:
        problems.add(f"A VM can have {MOST_DISKS} disks, not {len(disks)}.")
    bytes_ = problems.size(memory, "memory", LEAST_MEMORY, MOST_MEMORY)
    sized = [
        problems.size(text, f"disk {number}", LEAST_DISK, MOST_DISK)
        for number, text in enumerate(disks, 1)
    ]
    nics = []
    for network in networks or []:
        if network not in cluster.networks:
            problems.add(f"There is no network {network}.", "See: mcv network list")
        else:
            nics.append(Nic(network=network, mac=new_mac()))
    empty = dict.fromkeys(wanted, "") if disks else {}
    return Vm(
        name=name,
        uuid=str(uuid.uuid4()),
        memory=bytes_,
        cpus=cpus,
        node=host.name,
        nodes=tuple(wanted),
        disks=tuple(
            Disk(
                id=number,
                size=-(-size // 4096) * 4096,
                storage="drbd",
                volume=f"mcv-{name}-{number}",
                volume_groups=empty,
                resource=f"mcv-{name}-{number}",
                minor=0,
                port=0,
            )
            for number, size in enumerate(sized, 1)
        ),
        nics=tuple(nics),
    )


def _judge_nodes(
    host: Host, cluster: Cluster, problems: Problems, nodes: list[str] | None, has_disks: bool
) -> list[str]:
    if nodes is None:
        others = sorted(set(cluster.nodes) - {host.name})
        if not has_disks:
            return sorted(cluster.nodes)
        if len(others) != 1:
            if others:
                problems.add(
                    "With more than two nodes, say which two hold the replicas.", "--nodes A,B"
                )
            return [host.name]
        return [host.name, *others]
    for node in nodes:
        if node not in cluster.nodes:
            problems.add(f"There is no node {node}.", f"Nodes: {', '.join(sorted(cluster.nodes))}.")
    if host.name not in nodes:
        problems.add(f"{host.name}, which is to own it, is not among {', '.join(nodes)}.")
    if len(set(nodes)) != len(nodes):
        problems.add("A node is named twice in --nodes.")
    if has_disks and len(nodes) != 2:
        problems.add(f"A replicated disk lives on two nodes, not on {len(nodes)}.")
    return [host.name, *(node for node in nodes if node != host.name and node in cluster.nodes)]


def _judge_storage(
    cluster: Cluster, problems: Problems, storage: str | None, nodes: list[str], has_disks: bool
) -> None:
    if storage not in (None, "drbd", "file", "lvm"):
        problems.add(f"There is no storage {storage}.", "It can be: drbd (file and lvm later).")
        return
    if storage in ("file", "lvm"):
        problems.add(f"Storage {storage} is not there yet.", "Use: --storage drbd")
        return
    if not has_disks:
        return
    if not cluster.drbd.enabled:
        problems.add("DRBD is not enabled in this cluster.", "First: mcv drbd enable")
    if len(nodes) < 2 and len(cluster.nodes) < 2:
        problems.add(
            "A replicated disk needs a second node.",
            "First: mcv cluster add-node --node N --ip-address IP",
        )


def _judge_image(problems: Problems, image: dict[str, Any], vm: Vm) -> None:
    if not vm.disks:
        problems.add("An image needs a disk to fill.", "Add: --disk SIZE")
    elif vm.disks[0].size and image["size"] > vm.disks[0].size:
        problems.add(
            f"The image needs {sizes.shown(image['size'])}, "
            f"the first disk has {sizes.shown(vm.disks[0].size)}."
        )


def _facts(host: Host, vm: Vm, problems: Problems) -> dict[str, Any]:
    """What each node of the VM can give; a silent or offline one is a problem."""
    facts: dict[str, Any] = {}
    known = [node for node in vm.nodes if node in host.read().nodes]
    if not vm.disks:
        known = [host.name]
    for node, answer in ask_all(host.call, known, "node.capacity", FACTS).items():
        if isinstance(answer, McvError):
            problems.add(f"{node} is needed: {answer.message}", answer.hint)
        else:
            facts[node] = answer
            if vm.memory > answer["memory"]:
                problems.add(
                    f"{node} has {sizes.shown(answer['memory'])} of memory, "
                    f"less than {sizes.shown(vm.memory)}."
                )
            missing = sorted(
                {
                    host.read().networks[nic.network].bridge
                    for nic in vm.nics
                    if host.read().networks[nic.network].bridge not in answer["bridges"]
                }
            )
            for bridge in missing:
                problems.add(f"{node} has no bridge {bridge}.", "Make it on the host.")
    return facts


def _placed(host: Host, cluster: Cluster, vm: Vm, facts: dict[str, Any], problems: Problems) -> Vm:
    """The VM with volume groups, minors and ports that are free everywhere."""
    taken_minors = {disk.minor for _, disk in cluster.disks()}
    taken_ports = {disk.port for _, disk in cluster.disks()}
    for fact in facts.values():
        taken_minors |= set(fact["minors"])
        taken_ports |= set(fact["ports"])
    placed = []
    for disk in vm.disks:
        minor = next(n for n in range(FIRST_DRBD_MINOR, 1 << 20) if n not in taken_minors)
        port = next(n for n in range(FIRST_DRBD_PORT, 1 << 16) if n not in taken_ports)
        taken_minors.add(minor)
        taken_ports.add(port)
        groups = {node: str(fact["volume_group"] or "") for node, fact in facts.items()}
        placed.append(replace(disk, minor=minor, port=port, volume_groups=groups))
    return replace(vm, disks=tuple(placed))


def _judge_room(vm: Vm, facts: dict[str, Any], problems: Problems) -> None:
    for node, fact in facts.items():
        if fact["problem"]:
            problems.add(f"{node}: {fact['problem']}", fact["hint"])
            continue
        extent = fact["extent"]
        needed = sum(drbd_size(disk.size, extent) for disk in vm.disks)
        if needed > fact["free"]:
            problems.add(
                f"Volume group {fact['volume_group']} on {node} has {sizes.shown(fact['free'])} "
                f"free, {sizes.shown(needed)} are needed."
            )
        clash = sorted({disk.volume for disk in vm.disks} & set(fact["volumes"]))
        for volume in clash:
            problems.add(
                f"There is a logical volume {volume} on {node} already.", "See: mcv cluster check"
            )


def capacity(host: Host) -> dict[str, Any]:
    """What this node can give to a new VM."""
    groups = host.volumes.groups()
    group, problem, hint = _volume_group(host, sorted(groups))
    return {
        "volume_group": group,
        "problem": problem,
        "hint": hint,
        "free": groups[group].free if group else 0,
        "extent": groups[group].extent_size if group else 1,
        "volumes": [one.name for one in host.volumes.volumes(group)] if group else [],
        "minors": host.drbd.minors() if host.read().drbd.enabled else [],
        "ports": _ports(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "bridges": host.bridges.list(),
    }


def _volume_group(host: Host, groups: list[str]) -> tuple[str, str, str]:
    wanted = host.settings.volume_group
    if wanted:
        if wanted in groups:
            return wanted, "", ""
        return "", f"there is no volume group {wanted}.", "mcv.conf names it: volume_group"
    if len(groups) == 1:
        return groups[0], "", ""
    if not groups:
        return "", "there is no volume group.", "Make one with: vgcreate vg0 /dev/DISK"
    return (
        "",
        f"there are several volume groups ({', '.join(groups)}).",
        "Name one in /etc/mcv/mcv.conf: volume_group = NAME",
    )


def _ports() -> list[int]:
    """TCP ports that some socket of this host is bound to."""
    found = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(path, encoding="ascii") as file:
                rows = file.read().splitlines()[1:]
        except FileNotFoundError:
            continue
        found |= {int(row.split()[1].rpartition(":")[2], 16) for row in rows}
    return sorted(found)


def fill(host: Host, name: str, source: str, image: str) -> None:
    """Write an image's bytes to the first disk, and wait until both replicas have them."""
    disk = host.both()[-1].vm(name).disk(1)
    host.drbd.promote(disk.resource)
    try:
        images.copy(host, source, image, disk.device)
    finally:
        host.drbd.demote(disk.resource)
