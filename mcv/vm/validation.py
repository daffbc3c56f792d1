"""What is asked for when a VM is created or changed, judged: every problem, all at once."""

from dataclasses import dataclass
from typing import Any, cast

from mcv import sizes
from mcv.document.disks import Disk
from mcv.document.generation import Value
from mcv.document.model import Autostart, Cluster, Vm
from mcv.document.names import problem_with_name
from mcv.document.networks import Nic
from mcv.document.schema import older_member
from mcv.errors import Refused
from mcv.host import Host
from mcv.rules import preconditions
from mcv.vm import boot_files, disk_choice, hardware_choice, image_use, macs
from mcv.vm.answers import Rounded
from mcv.vm.boot_files import NOTHING as NO_DIRECT_BOOT
from mcv.vm.boot_files import BootRequest
from mcv.vm.hardware_choice import UNNAMED as UNNAMED_HARDWARE
from mcv.vm.hardware_choice import HardwareRequest

LEAST_MEMORY = 4 * 1024**2
MOST_MEMORY = 64 * 1024**4
LEAST_DISK = 1024**2
MOST_DISK = 1024**5
MOST_CPUS = 255
MOST_DISKS = 20
MOST_ORDER = 9999
MOST_DELAY = 3600  # s


class StartSettings(Value, frozen=True, kw_only=True):
    """Whether, in which order and with which pause after it a VM starts with its node.

    None is what an operator did not name.
    """

    autostart: Autostart | None = None
    start_order: int | None = None
    start_delay: int | None = None

    @property
    def are_named(self) -> bool:
        return self != UNNAMED


UNNAMED = StartSettings()


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
                f"{text} makes no sense for {sizes.the(what)}.",
                f"It can be {sizes.shown(least)} to {sizes.shown(most)}.",
            )
        return size

    def cpus(self, number: int) -> None:
        if not 1 <= number <= MOST_CPUS:
            self.add(
                f"{number} makes no sense as a number of CPUs.", f"It can be 1 to {MOST_CPUS}."
            )

    def start_settings(
        self, cluster: Cluster, autostart: str | None, order: int | None, delay: int | None
    ) -> StartSettings:
        """How a VM is to start with its node; a document of schema 1 cannot hold it."""
        if (autostart, order, delay) == (None, None, None):
            return StartSettings()
        if cluster.schema < 2:
            self.found.append(older_member("How a VM starts with its node cannot be written down"))
        if autostart not in (None, "yes", "no", "last"):
            self.add(f"--autostart {autostart} makes no sense.", "It can be: yes, no, last.")
        for option, number, most in (
            ("--start-order", order, MOST_ORDER),
            ("--start-delay", delay, MOST_DELAY),
        ):
            if number is not None and not 0 <= number <= most:
                self.add(f"{option} {number} makes no sense.", f"It can be 0 to {most}.")
        if self.found:
            return StartSettings()
        return StartSettings(
            autostart=cast(Autostart | None, autostart), start_order=order, start_delay=delay
        )


@dataclass(frozen=True)
class VmRequest:
    """A VM as an operator asks for it, in the words that were typed."""

    name: str
    uuid: str
    memory: str
    cpus: int
    disks: list[str]
    storage: str | None
    pool: str | None
    image: dict[str, Any] | None
    nodes: list[str] | None
    networks: list[str]
    iso: str | None
    autostart: str | None
    start_order: int | None
    start_delay: int | None
    hardware: HardwareRequest = UNNAMED_HARDWARE
    seed: dict[str, Any] | None = None
    direct: BootRequest = NO_DIRECT_BOOT


def judged(host: Host, request: VmRequest, problems: Problems) -> Vm:
    """The VM as asked for, volumes not yet placed; what is wrong with it goes to problems."""
    cluster = host.read()
    problem = problem_with_name(request.name, "VM")
    if problem:
        problems.found.append(problem)
    elif request.name in cluster.vms:
        problems.add(f"There is a VM {request.name} already.", "See: mcv list")
    if request.iso is not None:
        problems.found += image_use.why_no_cd(cluster, request.iso, host.name)
    disks, nodes = _judge_disks(cluster, problems, request, host.name)
    problems.cpus(request.cpus)
    problems.found += boot_files.why_not(host, cluster, request.direct)
    memory = problems.size(request.memory, "memory", LEAST_MEMORY, MOST_MEMORY)
    start = problems.start_settings(
        cluster, request.autostart, request.start_order, request.start_delay
    )
    vm = Vm(
        name=request.name,
        uuid=request.uuid,
        memory=memory,
        cpus=request.cpus,
        node=host.name,
        nodes=nodes,
        disks=disks,
        nics=_judge_networks(host, problems, request.networks),
        autostart=start.autostart or "last",
        start_order=start.start_order or 0,
        start_delay=start.start_delay or 0,
        cd=request.iso or "",
        append=request.direct.append or "",
    )
    if request.image is not None:
        _judge_image(problems, request.image, vm)
    return hardware_choice.with_hardware(cluster, vm, request.hardware, problems.found)


def _judge_disks(
    cluster: Cluster, problems: Problems, request: VmRequest, owner: str
) -> tuple[tuple[Disk, ...], tuple[str, ...]]:
    """The disks, and the nodes where the VM may run."""
    texts = _sizes(request)
    if not request.disks and request.image and request.image["size"] < LEAST_DISK:
        problems.add(
            f"The image has {sizes.shown(request.image['size'])}, less than a disk has at least.",
            f"If it is the right image, say how large a disk is: --disk {sizes.shown(LEAST_DISK)}",
        )
        texts = []
    if len(texts) > MOST_DISKS:
        problems.add(f"A VM can have {MOST_DISKS} disks, not {len(texts)}.")
    asked = [
        problems.size(text, f"disk {number}", LEAST_DISK, MOST_DISK)
        for number, text in enumerate(texts, 1)
    ]
    if not asked and request.storage is None and request.pool is None and request.nodes is None:
        problems.found += preconditions.why_not_accepting(cluster, owner)
        return (), tuple(sorted(cluster.nodes))
    choice = disk_choice.choose(
        cluster, owner, request.storage, request.pool, request.nodes, problems.found
    )
    if choice is None:
        return (), (owner,)
    disks = tuple(
        disk_choice.new_disk(cluster, request.name, request.uuid, number, size, choice)
        for number, size in enumerate(asked, 1)
    )
    return disks, choice.nodes


def _sizes(request: VmRequest) -> list[str]:
    """The sizes of the disks as typed; without any, the image's."""
    return request.disks or ([f"{request.image['size']}B"] if request.image else [])


def rounded(request: VmRequest, vm: Vm) -> tuple[Rounded, ...]:
    """The disks of a VM that was judged that are larger than asked for."""
    pairs = zip(vm.disks, _sizes(request), strict=False)
    asked = [(disk, sizes.parse(text, "disk")) for disk, text in pairs]
    return tuple(
        Rounded(disk=disk.id, asked=size, size=disk.size)
        for disk, size in asked
        if size != disk.size
    )


def _judge_networks(host: Host, problems: Problems, networks: list[str]) -> tuple[Nic, ...]:
    found: list[Nic] = []
    for network in networks:
        if network not in host.read().networks:
            problems.add(f"There is no network {network}.", "See: mcv network list")
        else:
            mac = macs.unused(host, (nic.mac for nic in found))
            found.append(Nic(network=network, mac=mac))
    return tuple(found)


def _judge_image(problems: Problems, image: dict[str, Any], vm: Vm) -> None:
    if vm.disks and vm.disks[0].size and image["size"] > vm.disks[0].size:
        problems.add(
            f"The image needs {sizes.shown(image['size'])}, "
            f"the first disk has {sizes.shown(vm.disks[0].size)}."
        )
