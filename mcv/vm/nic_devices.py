"""A VM's cards and the domain that has them: a step of plans, and what guests' addresses are."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from mcv.document.networks import Nic
from mcv.drivers import interface_xml
from mcv.drivers.libvirt_nics import GuestAddress
from mcv.errors import Refused
from mcv.host import Host
from mcv.network import tags
from mcv.vm import definition


def apply(host: Host, name: str, nics: Sequence[dict[str, Any]]) -> None:
    """A step: define the VM with these cards, and have the domain that runs here have them.

    Harmless when it is done. A card keeps its model while the domain runs. Raises Refused where
    the guest does not let go of a card that it is to lose.
    """
    cluster = host.both()[-1]
    vm = replace(cluster.vm(name), nics=msgspec.convert(nics, tuple[Nic, ...]))
    tags.bring_up(host, vm)
    host.domains.define(definition.of(host, vm))
    if not host.domains.is_active(name):
        return
    live = host.domains.nics
    present = live.macs(name)
    for nic in vm.nics:
        card = interface_xml.element(nic, cluster.networks.get(nic.network), host.name)
        change = live.update if nic.mac.lower() in present else live.attach
        change(name, nic.mac.lower(), ET.tostring(card, encoding="unicode"))
    kept = {nic.mac.lower() for nic in vm.nics}
    if stuck := [mac for mac in present if mac not in kept and not live.detach(name, mac)]:
        raise Refused(
            f"the guest of {name} has not let go of {', '.join(stuck)}",
            f"It goes when the guest lets go or stops: mcv shutdown {name}",
        )


def addresses(host: Host, name: str) -> dict[str, list[GuestAddress]]:
    """The addresses of the guest that runs here, by its cards' MACs."""
    return host.domains.nics.addresses(name)
