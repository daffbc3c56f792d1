"""USB and PCI devices of the host, given to a VM and taken from it."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import asdict

from mcv.document.hardware import Device
from mcv.document.model import Cluster, Vm
from mcv.document.schema import older_member
from mcv.document.subject import Subject
from mcv.drivers import host_device_xml
from mcv.drivers.host_devices import HostDevice
from mcv.errors import McvError, NotFound, Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.rules import host_devices as rules
from mcv.system.answers import ask_typed, plain
from mcv.transaction.plan import Item, Step, change, on
from mcv.vm import changing

LOOK = 5.0  # s that a node has to look at its devices

FORMS = {
    "usb": "It can be bus.device (1.4) or vendor:product (1d6b:0002).",
    "pci": "It can be domain:bus:slot.function (0000:00:02.0).",
}


class VmDevice(Struct, frozen=True, kw_only=True):
    """A device of a VM: `name` is what it is, `problem` why it is not to be had; "" for neither."""

    type: str
    address: str
    node: str
    name: str = ""
    problem: str = ""


class NodeDevice(Struct, frozen=True, kw_only=True):
    """A device of a node, and the VM that has it, "" for none."""

    type: str
    address: str
    product: str
    name: str
    driver: str
    group: str
    used: str
    vm: str


class DeviceChanged(Struct, frozen=True, kw_only=True):
    """A device that a VM was given, or that was taken from it.

    `active` is whether the guest that runs has what changed from its next start on alone;
    `caution` is what to know of the address.
    """

    name: str
    type: str
    address: str
    node: str
    active: bool
    caution: str = ""


def add(
    host: Host, name: str, type: str, address: str, dry_run: bool = False
) -> DeviceChanged | DryRun:
    """Give a VM a device of its owner: USB at once where it runs, PCI from its next start on.

    From then on the VM cannot leave its owner. Raises Refused, with every reason at once.
    """

    def prepare() -> Prepared[DeviceChanged]:
        vm = _changeable(host, name)
        device = _device(type, address, host.name)
        refuse_all([*_why_not(host, vm, device), *changing.why_saved(host, vm)])
        return Prepared(add_plan(vm, device), _changed(host, vm, device))

    return host.operate(Subject.vm(name), f"give {name} {type} {address}", prepare, dry_run)


def remove(
    host: Host, name: str, type: str, address: str, dry_run: bool = False
) -> DeviceChanged | DryRun:
    """Take a device from a VM: USB at once where it runs, PCI when it stops.

    Also from a VM whose owner is offline, so that the VM can be taken over.
    """

    def prepare() -> Prepared[DeviceChanged]:
        vm = _changeable(host, name, may_be_left_behind=True)
        is_owner = vm.node == host.name
        device = _own_device(host, vm, type, address)
        refuse_all(changing.why_saved(host, vm) if is_owner else [])
        return Prepared(remove_plan(vm, device, is_owner), _changed(host, vm, device))

    return host.operate(Subject.vm(name), f"take {type} {address} from {name}", prepare, dry_run)


def add_plan(vm: Vm, device: Device) -> list[Item]:
    """Write the device down, define the VM with it, and give it to the guest that runs.

    Giving it commits the plan: a guest that cannot have it leaves all as it was. The way back of
    the definition comes before that of the entry.
    """
    there = {"name": vm.name, "device": plain(device)}
    return [
        Step(
            change("vm.devices", name=vm.name, devices=plain((*vm.devices, device))),
            undo=change("vm.devices", name=vm.name, devices=plain(vm.devices)),
        ),
        Step(on(vm.node, "vm.define", name=vm.name), undo=on(vm.node, "device.withhold", **there)),
        Step(
            on(vm.node, "device.attach", **there),
            undo=on(vm.node, "device.detach", **there),
            commits=True,
        ),
    ]


def remove_plan(vm: Vm, device: Device, is_owner: bool) -> list[Item]:
    """Write it down, which commits the plan; then take it from the definition and the guest."""
    kept = [each for each in vm.devices if each != device]
    plan: list[Item] = [Step(change("vm.devices", name=vm.name, devices=plain(kept)), commits=True)]
    if is_owner:
        plan.append(Step(on(vm.node, "vm.define", name=vm.name)))
        there = {"name": vm.name, "device": plain(device)}
        plan.append(Step(on(vm.node, "device.detach", **there), may_fail=True))
    return plan


def _changeable(host: Host, name: str, may_be_left_behind: bool = False) -> Vm:
    """The VM, where its devices may be changed from this node."""
    vm = changing.owned_or_left_behind(host, name, may_be_left_behind)
    if host.read().schema < 4:
        raise older_member("Devices cannot be written down")
    return vm


def _device(type: str, address: str, node: str) -> Device:
    """The device that was named. Raises Refused where the words name none."""
    if type not in FORMS:
        raise Refused(f"{type!r} is no kind of device.", "It can be: usb, pci.")
    canonical = host_device_xml.canonical(type, address)
    if not canonical:
        raise Refused(f"{address!r} is no address of a {type.upper()} device.", FORMS[type])
    return Device(type="usb" if type == "usb" else "pci", address=canonical, node=node)


def _own_device(host: Host, vm: Vm, type: str, address: str) -> Device:
    """The VM's device in the document, or else one that its running guest has kept."""
    wanted = _device(type, address, vm.node)
    for device in vm.devices:
        if (device.type, device.address) == (wanted.type, wanted.address):
            return device
    if vm.node == host.name and host.domains.host_devices.has(vm.name, wanted):
        return wanted
    raise NotFound(f"{vm.name} has no {rules.in_words(wanted)}.", f"See: mcv device list {vm.name}")


def _why_not(host: Host, vm: Vm, device: Device) -> list[Refused]:
    present, has_iommu = host.devices.all(), host.devices.has_iommu()
    return rules.why_not_add(host.read(), vm, device, present, has_iommu)


def _changed(host: Host, vm: Vm, device: Device) -> DeviceChanged:
    is_later = device.type == "pci" and vm.node == host.name
    return DeviceChanged(
        name=vm.name,
        type=device.type,
        address=device.address,
        node=device.node,
        active=is_later and host.domains.is_active(vm.name),
        caution=rules.caution(device),
    )


# What is seen


def list_(host: Host, name: str) -> list[VmDevice]:
    """The devices of a VM, and whether its node has them; Refused where there is no such VM."""
    vm = host.read().vm(name)
    nodes = sorted({device.node for device in vm.devices})
    answers = ask_typed(host.call, nodes, "node.host_devices", LOOK, list[HostDevice])
    return [_seen(device, answers.get(device.node)) for device in vm.devices]


def _seen(device: Device, answer: Sequence[HostDevice] | McvError | None) -> VmDevice:
    named = {"type": device.type, "address": device.address, "node": device.node}
    if answer is None or isinstance(answer, McvError):
        return VmDevice(**named, problem=f"{device.node} does not tell")
    found = rules.meant(device, answer)
    if len(found) == 1:
        return VmDevice(**named, name=found[0].name)
    return VmDevice(**named, problem="it is not there" if not found else "there are several")


def list_of_node(host: Host, node: str) -> list[NodeDevice]:
    """The devices that a node has now, and who has them."""
    cluster = host.read()
    cluster.node(node)
    answer = ask_typed(host.call, [node], "node.host_devices", LOOK, list[HostDevice])[node]
    if isinstance(answer, McvError):
        raise answer
    return [NodeDevice(**asdict(device), vm=_vm_with(cluster, node, device)) for device in answer]


def _vm_with(cluster: Cluster, node: str, device: HostDevice) -> str:
    having = (
        vm.name
        for vm in cluster.vms.values()
        for each in vm.devices
        if each.node == node and device.is_meant(each)
    )
    return next(having, "")


def here(host: Host) -> list[HostDevice]:
    """The devices of this node."""
    return host.devices.all()
