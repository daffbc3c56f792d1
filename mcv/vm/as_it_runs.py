"""A guest as it runs, compared with the definition that it would have at its next start."""

from mcv.document import overlays
from mcv.document.model import Vm
from mcv.drivers.domain_reading import mark_of
from mcv.drivers.libvirt_host_devices import any_in
from mcv.errors import Refused
from mcv.host import Host


def why_not_move(host: Host, vm: Vm) -> list[Refused]:
    """What the guest has that runs, and its definition has not: it would not be expected there."""
    xml = host.domains.xml(vm.name)
    begun = mark_of(xml)
    stop = f"First: mcv shutdown {vm.name} --wait; or move it stopped"
    problems = []
    if begun is not None and begun.overlay != overlays.digest(vm.overlay):
        problems.append(Refused(f"{vm.name} began with another overlay than it has now.", stop))
    if not vm.devices and any_in(xml):
        problems.append(Refused(f"The guest of {vm.name} has a device of the host still.", stop))
    return problems
