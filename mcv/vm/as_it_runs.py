"""A guest as it runs, compared with the definition that it would have at its next start."""

from msgspec.structs import replace

from mcv.document import overlays
from mcv.document.model import Vm
from mcv.drivers.domain_reading import mark_of
from mcv.drivers.libvirt_host_devices import any_in
from mcv.errors import Refused
from mcv.host import Host
from mcv.rules import tied

ASK = 10.0  # s that the other node has to look through its history


def other_overlay(host: Host, vm: Vm) -> str | None:
    """The digest of the overlay that the guest began with; None where that is the VM's own.

    "" is that of none.
    """
    begun = mark_of(host.domains.xml(vm.name))
    is_same = begun is None or begun.overlay == overlays.digest(vm.overlay)
    return None if begun is None or is_same else begun.overlay


def knows_overlay(host: Host, name: str, digest: str) -> bool:
    """For a member that asks: whether a document that is kept here had this overlay of the VM."""
    return former_overlay(host, host.read().vm(name), digest) is not None


def former_overlay(host: Host, vm: Vm, digest: str) -> str | None:
    """The overlay that a committed document gave to the VM, by its digest, where it is kept.

    The members agreed on it, as they have on the present one: a text that another node sends
    would be that node's word alone.
    """
    if not digest:
        return ""
    for cluster in host.consensus.generations():
        for former in cluster.vms.values():
            if former.uuid == vm.uuid and overlays.digest(former.overlay) == digest:
                return former.overlay
    return None


def began(host: Host, vm: Vm, digest: str | None) -> Vm:
    """The VM with the overlay that its guest began with. Raises Refused where none is known."""
    if digest is None:
        return vm
    overlay = former_overlay(host, vm, digest)
    if overlay is None:
        raise _unknown(vm, host.name)
    return replace(vm, overlay=overlay)


def why_not_move(host: Host, vm: Vm, to: str) -> list[Refused]:
    """What the guest has that runs and that would not be expected on the other node.

    An overlay that it began with goes along where nothing of it is of this host, and both nodes
    know it.
    """
    problems = []
    digest = other_overlay(host, vm)
    if digest is not None:
        problems += _why_not_with(host, vm, digest, to)
    if not vm.devices and any_in(host.domains.xml(vm.name)):
        problems.append(
            Refused(f"The guest of {vm.name} has a device of the host still.", _stop(vm))
        )
    return problems


def _why_not_with(host: Host, vm: Vm, digest: str, to: str) -> list[Refused]:
    try:
        running = began(host, vm, digest)
    except Refused as problem:
        return [problem]
    reasons = tied.reasons(replace(running, devices=()))
    if reasons:
        said = " ".join(reason.message for reason in reasons)
        message = f"The guest of {vm.name} began with another overlay than it has now: {said}"
        return [Refused(message, _stop(vm))]
    if digest and not host.call(to, "vm.knows_overlay", timeout=ASK, name=vm.name, digest=digest):
        return [_unknown(vm, to)]
    return []


def _unknown(vm: Vm, node: str) -> Refused:
    return Refused(
        f"{vm.name} began with another overlay than it has now, which {node} does not know.",
        _stop(vm),
    )


def _stop(vm: Vm) -> str:
    return f"First: mcv shutdown {vm.name} --wait; or move it stopped"
