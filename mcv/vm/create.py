"""Creating a VM: everything is checked first, all problems at once; then it is made by one plan."""

import contextlib
import logging
import uuid
from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from mcv import sizes, storage
from mcv.document.disks import Disk, DrbdDisk, SharedDisk
from mcv.document.model import Cluster, Vm
from mcv.document.pools import Pool
from mcv.document.subject import Subject
from mcv.errors import McvError, RepairNeeded, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.settings import FIRST_DRBD_MINOR, FIRST_DRBD_PORT
from mcv.storage import room_for
from mcv.storage.rooms import IMPLICIT
from mcv.system.answers import ask_typed
from mcv.vm import domains_elsewhere, validation
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
    start: bool = False,
    dry_run: bool = False,
) -> Created | DryRun:
    """Create a VM that this node owns; with start, start it.

    `image` says where the first disk's bytes are: {"node", "token", "size"}. Raises
    Refused with every reason at once; Failed when it was begun and everything was undone;
    DoneInPart when it was created and could not be started.
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
        pools = new_pools(host.read(), vm)
        answer = Created(
            name=name,
            node=vm.node,
            nodes=vm.nodes,
            vm=vm,
            started=start,
            rounded=validation.rounded(request, vm),
        )
        return Prepared(create_plan(vm, source, token, f"create {name}", pools, start), answer)

    with _image_until_the_end(host, source, token):
        return host.operate(Subject.vm(name), f"create {name}", prepare, dry_run)


def _judged_and_placed(host: Host, request: VmRequest) -> Vm:
    """The VM as it will be made; Refused with every problem at once."""
    host.consensus.require_contact()
    problems = Problems()
    vm = judged(host, request, problems)
    facts = _facts(host, vm, problems)
    problems.found += domains_elsewhere.foreign(host, vm.name, needed=facts)
    if vm.disks and facts:
        _judge_room(vm, facts, problems)
    if not problems.found and vm.disks:
        vm = _placed(host.read(), vm, facts)
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
    places = {node for disk in vm.disks for node in disk.places}
    known = [node for node in host.read().nodes if node == host.name or node in places]
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
    """The VM with its disks' locations, and with minors and ports that are free everywhere."""
    taken_minors = {disk.minor for _, disk in cluster.replicated()}
    taken_ports = {disk.port for _, disk in cluster.replicated()}
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


def _judge_room(vm: Vm, facts: dict[str, Capacity], problems: Problems) -> None:
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


def fill(host: Host, name: str, source: str, image: str) -> None:
    """Write an image's bytes to the first disk, and wait until every replica has them."""
    cluster = host.both()[-1]
    disk = cluster.vm(name).disk(1)
    kind = storage.of(disk)
    kind.open(host)
    try:
        images.fill(host, source, image, storage.path(cluster, disk, host.name), disk.format)
    finally:
        kind.close(host)
