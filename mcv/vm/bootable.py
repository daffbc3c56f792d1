"""May a VM be booted on this node: disks, bridges and saved memory; and what a boot is allowed."""

from mcv import storage
from mcv.document.model import Vm
from mcv.drivers import overlay
from mcv.drivers.domain_reading import SavedState
from mcv.errors import Refused, refuse_all
from mcv.host import Host
from mcv.network import needs
from mcv.rules import host_devices, saved
from mcv.rules.beginning import Permit
from mcv.vm import processor


def require(
    host: Host, vm: Vm, ignore_verify: bool, discard_saved: bool = False
) -> SavedState | None:
    """The memory that is saved, if there is any; Refused where disks or it forbid a start."""
    memory = host.domains.saved.of(vm.name)
    problems = [
        *needs.why_not_here(host, host.read(), vm),
        *no_bridges(host, overlay.bridges(vm.overlay)),
        *processor.why_not_here(host, vm),
        *(host_devices.why_not_start(vm, host.name, host.devices.all()) if vm.devices else []),
        *storage.why_not_start(host, vm, ignore_verify),
    ]
    problem = saved.why_not_start(vm, memory, discard_saved)
    refuse_all([*problems, *([problem] if problem else [])])
    return memory


def in_words(host: Host, vm: Vm, memory: SavedState | None, discard_saved: bool) -> list[str]:
    """What a start does, a line each."""
    given_up = [f"{host.name}: give up the saved state of {vm.name}"]
    return [*(given_up if memory and discard_saved else []), f"{host.name}: start {vm.name}"]


def bridges_of(host: Host, vm: Vm, node: str) -> list[str]:
    """The bridges that a VM is connected to on a node, as the document and its overlay say."""
    of_nics = [host.read().network(nic.network).bridge_on(node) for nic in vm.nics]
    return [*of_nics, *overlay.bridges(vm.overlay)]


def no_bridges(host: Host, bridges: list[str]) -> list[Refused]:
    """The refusals for bridges that this host lacks."""
    return [
        Refused(f"{host.name} has no bridge {bridge}.", "Make it on the host.")
        for bridge in sorted(set(bridges))
        if not host.bridges.exists(bridge)
    ]


def permit(host: Host, vm: Vm, ignore_verify: bool) -> Permit:
    """What libvirt's hook would refuse, and this start may: its claim's step, or an override."""
    return Permit(
        operation=vm.claim.operation if vm.claim else "",
        ignores_verification=ignore_verify and storage.is_blocked(host, vm),
    )
