"""Changes of what a VM is made of, each under the claim of the operation that carries it out."""

from typing import Any

import msgspec
from msgspec.structs import replace

from mcv.document import overlays
from mcv.document.generation import ChangeMade
from mcv.document.model import Cluster, Vm
from mcv.document.registry import change, require_claim
from mcv.document.schema import require_schema
from mcv.document.vm_changes import require_whole
from mcv.document.vm_nics import require_nics
from mcv.errors import Refused

# What `vm.set` may change, each as the VM has it.
PROPERTIES = (
    *("memory", "cpus", "cpu", "cpu_limit", "machine", "firmware", "boot", "append"),
    *("autostart", "start_order", "start_delay", "description", "tags", "protected"),
    *("watchdog", "video", "keyboard", "clock", "cd"),
)
# What it may change of every data disk of the VM.
LIMITS = ("iops", "bandwidth")


@change("vm.set")
def vm_set(base: Cluster, made: ChangeMade, /, name: str, **values: Any) -> Cluster:
    """Change properties of a VM, under this operation's claim; what is not named stays.

    `iops` and `bandwidth` are those of each data disk. Precondition: schema 4; `vm.update` and
    `vm.set_start` are known to members of before. Refused for what is no property, for a value
    that no VM has, and for a CD that no node has whole: from then on the image is in use.
    """
    vm = require_claim(base, made, name)
    require_schema(base, 4)
    if foreign := sorted(set(values) - {*PROPERTIES, *LIMITS}):
        raise Refused(f"A VM has no property {', '.join(foreign)} that is set.")
    if values.get("cd"):
        require_whole(base, values["cd"])
    limits = {key: values.pop(key) for key in LIMITS if key in values}
    return base.with_vm(_limited(_with(vm, values), limits))


def _limited(vm: Vm, limits: dict[str, Any]) -> Vm:
    """The VM with other limits of each data disk that stays."""
    for disk in vm.disks if limits else ():
        if disk.role == "data" and not disk.leaving:
            raw = {**msgspec.to_builtins(disk), **limits}
            vm = vm.with_disk(msgspec.convert(raw, type(disk)))
    return vm


@change("vm.nics")
def vm_nics(base: Cluster, made: ChangeMade, /, name: str, nics: list[dict[str, Any]]) -> Cluster:
    """Give a VM these NICs, in this order, under this operation's claim.

    Precondition: schema 4. Refused for a network that is not there, and for a MAC that another
    NIC of the cluster has.
    """
    vm = require_claim(base, made, name)
    require_schema(base, 4)
    new = _with(vm, {"nics": nics})
    require_nics(base, new)
    return base.with_vm(new)


@change("vm.devices")
def vm_devices(
    base: Cluster, made: ChangeMade, /, name: str, devices: list[dict[str, Any]]
) -> Cluster:
    """Give a VM these devices of hosts, under this operation's claim. Precondition: schema 4."""
    vm = require_claim(base, made, name)
    require_schema(base, 4)
    new = _with(vm, {"devices": devices})
    for device in new.devices:
        base.node(device.node)
    return base.with_vm(new)


@change("vm.overlay")
def vm_overlay(base: Cluster, made: ChangeMade, /, name: str, overlay: str) -> Cluster:
    """Lay this XML over a VM's domain, "" for none, under this operation's claim.

    Precondition: schema 4, and that the result was judged: the document cannot. Refused for what
    is no overlay, and for a MAC that another NIC of the cluster has.
    """
    vm = require_claim(base, made, name)
    require_schema(base, 4)
    new = _with(vm, {"overlay": overlay})
    if overlay:
        overlays.parse(overlay)
    require_nics(base, new)
    return base.with_vm(new)


def _with(vm: Vm, values: dict[str, Any]) -> Vm:
    """The VM with other values, each of the type that the VM's struct says."""
    raw = {**msgspec.to_builtins(vm), **values}
    new = msgspec.convert(raw, Vm)
    return replace(new, tags=tuple(sorted(set(new.tags))))
