"""The part of the table that is about devices of hosts and overlays on VMs' domains."""

from mcv.api.operation import (
    NODE,
    OPERATOR_OR_PEER,
    VM,
    Operation,
    Right,
    owner,
    owner_or_here,
    question,
    read,
    step,
)
from mcv.api.operation import change as change_vm
from mcv.vm import device_steps, devices, edit

OF_HOSTS: dict[str, Operation] = {
    "device.add": Operation(devices.add, OPERATOR_OR_PEER, Right.ADMIN, VM, job=True, to=owner),
    "device.remove": change_vm(devices.remove, owner_or_here),
    "device.list": read(devices.list_, VM),
    "device.withhold": step(device_steps.withhold),
    "device.attach": step(device_steps.attach),
    "device.detach": step(device_steps.detach),
    "node.devices": read(devices.list_of_node, NODE),
    "node.host_devices": question(devices.here),
    "vm.overlay": Operation(edit.show, OPERATOR_OR_PEER, Right.ADMIN, VM, to=owner, timeout=30),
    "vm.edit": Operation(edit.edit, OPERATOR_OR_PEER, Right.ADMIN, VM, job=True, to=owner_or_here),
    "vm.try_overlay": question(edit.try_overlay, timeout=30),
}
