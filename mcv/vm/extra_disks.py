"""The disks that a new VM has beside its data: its firmware's variables, its guest's seed."""

from dataclasses import dataclass

from msgspec.structs import replace

from mcv.document.disks import Role
from mcv.document.model import Vm
from mcv.document.schema import older_member
from mcv.drivers import firmware
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.vm import boot_files, disk_choice, seed
from mcv.vm import image as images
from mcv.vm.disk_choice import Storage
from mcv.vm.validation import VmRequest

# Kinds whose device is the volume itself, of whole extents.
WHOLE_EXTENTS = ("lvm", "thin")


@dataclass(frozen=True)
class Filling:
    """Bytes that a node holds for a disk of a new VM, under a token."""

    disk: int
    source: str
    token: str


def with_extra_disks(
    host: Host, vm: Vm, request: VmRequest, problems: list[Refused]
) -> tuple[Vm, list[Filling]]:
    """The VM with the disks that are not for its data, and what they are filled with.

    What stands in the way goes to problems. Precondition: nothing but them is wrong with the VM.
    """
    fillings: list[Filling] = []
    if request.seed is None and vm.firmware != "uefi" and not request.direct.files:
        return vm, fillings
    choice = disk_choice.of_vm(vm) or disk_choice.choose(
        host.read(), vm.node, request.storage, request.pool, request.nodes, problems
    )
    if choice is None:
        return vm, fillings
    for role, content in _contents(host, vm, request, choice.storage, problems).items():
        number = vm.next_disk
        disk = disk_choice.new_disk(
            host.read(), vm.name, vm.uuid, number, len(content), choice, role
        )
        vm = replace(vm, disks=(*vm.disks, disk), nodes=choice.nodes)
        token = seed.held(host, content).token
        images.keep(host, token)
        fillings.append(Filling(disk=number, source=host.name, token=token))
    for role, file in request.direct.files.items():
        size, number = boot_files.whole(file.size), vm.next_disk
        disk = disk_choice.new_disk(host.read(), vm.name, vm.uuid, number, size, choice, role)
        vm = replace(vm, disks=(*vm.disks, disk), nodes=choice.nodes)
        fillings.append(Filling(disk=number, source=file.node, token=file.token))
    return vm, fillings


def _contents(
    host: Host, vm: Vm, request: VmRequest, storage: Storage, problems: list[Refused]
) -> dict[Role, bytes]:
    """The bytes of each extra disk, by its role."""
    found: dict[Role, bytes] = {}
    if vm.firmware == "uefi" and firmware.is_there():
        try:
            is_whole = storage in WHOLE_EXTENTS
            found["efi"] = firmware.variables(firmware.ON_EXTENTS if is_whole else firmware.SIZE)
        except McvError as error:
            problems.append(Refused(error.message, error.hint))
    if request.seed is not None:
        if host.read().schema < 3:
            problems.append(older_member("A seed cannot be written down"))
            return {}
        try:
            source, token = str(request.seed["node"]), str(request.seed["token"])
            found["seed"] = seed.made(host, vm, source, token)
        except (KeyError, McvError) as error:
            problems.append(Refused(f"What sets the guest up is not there any more: {error}"))
    return found
