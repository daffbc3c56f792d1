"""Creating a VM: everything is checked first, all problems at once; then it is made by one plan."""

import contextlib
import logging
import uuid
from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from mcv import sizes, storage
from mcv.document.model import Cluster, Vm
from mcv.document.subject import Subject
from mcv.drivers.lvm import drbd_size
from mcv.errors import McvError, RepairNeeded, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.settings import FIRST_DRBD_MINOR, FIRST_DRBD_PORT
from mcv.system.answers import ask_typed
from mcv.vm import domains_elsewhere
from mcv.vm import image as images
from mcv.vm.answers import Created
from mcv.vm.capacity import Capacity
from mcv.vm.plans import create_plan
from mcv.vm.validation import Problems, VmRequest, judged

log = logging.getLogger(__name__)

FACTS = 10.0  # seconds that a node has to say what it can give


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
    autostart: str | None = None,
    start_order: int | None = None,
    start_delay: int | None = None,
    dry_run: bool = False,
) -> Created | DryRun:
    """Create a VM that this node owns.

    `image` says where the first disk's bytes are: {"node", "token", "size"}. Raises
    Refused with every reason at once; Failed when it was begun and everything was undone.
    """
    request = VmRequest(
        name=name,
        uuid=str(uuid.uuid4()),
        memory=memory,
        cpus=cpus,
        disks=disks or [],
        storage=storage,
        pool=pool,
        image=image,
        nodes=nodes,
        networks=networks or [],
        iso=iso,
        autostart=autostart,
        start_order=start_order,
        start_delay=start_delay,
    )

    source, token = (image["node"], image["token"]) if image else (host.name, None)

    def prepare() -> Prepared[Created]:
        vm = _judged_and_placed(host, request)
        return Prepared(
            create_plan(vm, source, token, f"create {name}"),
            Created(name=name, node=vm.node, nodes=vm.nodes, vm=vm),
        )

    with _image_until_the_end(host, source, token):
        return host.operate(Subject.vm(name), f"create {name}", prepare, dry_run)


def _judged_and_placed(host: Host, request: VmRequest) -> Vm:
    """The VM as it will be made; Refused with every problem at once."""
    host.consensus.require_contact()
    problems = Problems()
    vm = judged(host, request, problems)
    facts = _facts(host, vm, problems)
    problems.found += domains_elsewhere.foreign(host, vm.name, needed=facts)
    if not problems.found and vm.disks:
        vm = _placed(host.read(), vm, facts)
    if vm.disks and facts:
        _judge_room(vm, facts, problems)
    refuse_all(problems.found)
    return vm


@contextlib.contextmanager
def _image_until_the_end(host: Host, source: str, token: str | None) -> Iterator[None]:
    """Have the image held, and drop it once the VM is made, undone or refused.

    A creation that is resumed still needs it.
    """
    if token is not None:
        with contextlib.suppress(McvError):  # the creation will tell what is wrong
            host.call(source, "image.keep", token=token)
    try:
        yield
    except RepairNeeded:
        raise
    except McvError:
        _drop_image(host, source, token)
        raise
    _drop_image(host, source, token)


def _drop_image(host: Host, source: str, token: str | None) -> None:
    """Drop the image on the node that holds it open, which does so itself after a day."""
    if token is None:
        return
    try:
        host.call(source, "image.drop", token=token)
    except McvError as error:
        log.info("dropping an image on %s: %s", source, error)


def _facts(host: Host, vm: Vm, problems: Problems) -> dict[str, Capacity]:
    """What each node of the VM can give; a silent or offline node is a problem."""
    facts: dict[str, Capacity] = {}
    known = [node for node in vm.nodes if node in host.read().nodes]
    if not vm.disks:
        known = [host.name]
    for node, answer in ask_typed(host.call, known, "node.capacity", FACTS, Capacity).items():
        if isinstance(answer, McvError):
            problems.add(f"{node} is needed: {answer.message}", answer.hint)
        else:
            facts[node] = answer
            if vm.memory > answer.memory:
                problems.add(
                    f"{node} has {sizes.shown(answer.memory)} of memory, "
                    f"less than {sizes.shown(vm.memory)}."
                )
            missing = sorted(
                {
                    host.read().networks[nic.network].bridge
                    for nic in vm.nics
                    if host.read().networks[nic.network].bridge not in answer.bridges
                }
            )
            for bridge in missing:
                problems.add(f"{node} has no bridge {bridge}.", "Make it on the host.")
    return facts


def _placed(cluster: Cluster, vm: Vm, facts: dict[str, Capacity]) -> Vm:
    """The VM with volume groups, minors and ports that are free everywhere."""
    taken_minors = {disk.minor for _, disk in cluster.disks()}
    taken_ports = {disk.port for _, disk in cluster.disks()}
    for fact in facts.values():
        taken_minors |= set(fact.minors)
        taken_ports |= set(fact.ports)
    placed = []
    for disk in vm.disks:
        minor = next(n for n in range(FIRST_DRBD_MINOR, 1 << 20) if n not in taken_minors)
        port = next(n for n in range(FIRST_DRBD_PORT, 1 << 16) if n not in taken_ports)
        taken_minors.add(minor)
        taken_ports.add(port)
        groups = {node: fact.volume_group for node, fact in facts.items()}
        placed.append(replace(disk, minor=minor, port=port, volume_groups=groups))
    return replace(vm, disks=tuple(placed))


def _judge_room(vm: Vm, facts: dict[str, Capacity], problems: Problems) -> None:
    for node, fact in facts.items():
        if fact.problem:
            problems.add(f"{node}: {fact.problem}", fact.hint)
            continue
        extent = fact.extent
        needed = sum(drbd_size(disk.size, extent) for disk in vm.disks)
        if needed > fact.free:
            problems.add(
                f"Volume group {fact.volume_group} on {node} has {sizes.shown(fact.free)} "
                f"free, {sizes.shown(needed)} are needed."
            )
        clash = sorted({disk.volume for disk in vm.disks} & set(fact.volumes))
        for volume in clash:
            problems.add(
                f"There is a logical volume {volume} on {node} already.", "See: mcv cluster check"
            )


def fill(host: Host, name: str, source: str, image: str) -> None:
    """Write an image's bytes to the first disk, and wait until both replicas have them."""
    disk = host.both()[-1].vm(name).disk(1)
    kind = storage.of(disk)
    kind.open(host)
    try:
        images.copy(host, source, image, kind.source().path)
    finally:
        kind.close(host)
