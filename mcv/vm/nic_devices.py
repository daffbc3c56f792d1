"""A VM's cards and the domain that has them: a step of plans, and what guests' addresses are."""

import logging
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from mcv.document.networks import Nic
from mcv.document.vm_nics import macs_of
from mcv.drivers import interface_xml
from mcv.drivers.libvirt_nics import LETTING_GO, GuestAddress
from mcv.errors import Refused
from mcv.host import Host
from mcv.network import tags
from mcv.vm import definition

log = logging.getLogger(__name__)


def apply(host: Host, name: str, nics: Sequence[dict[str, Any]], may_stay: bool = False) -> None:
    """A step: define the VM with these cards, and have the domain that runs here have them.

    Harmless when it is done. A card keeps its model and its MTU while the domain runs. Raises
    Refused where the guest does not let go of a card that it is to lose; with `may_stay`, as on
    the way back, it keeps the card until it stops.
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
    if stuck := _not_let_go(host, name, sorted(set(present) - set(macs_of(vm)))):
        if not may_stay:
            raise stuck
        log.warning("cards of %s: %s", name, stuck.message)


def _not_let_go(host: Host, name: str, macs: list[str]) -> Refused | None:
    """Have the guest let go of cards; what to say where it does not. A paused one cannot."""
    is_paused = bool(macs) and host.domains.state(name) == "paused"
    patience = 0.0 if is_paused else LETTING_GO
    stuck = [mac for mac in macs if not host.domains.nics.detach(name, mac, patience)]
    if not stuck:
        return None
    if is_paused:
        return Refused(
            f"{name} is paused, so its guest has not let go of {', '.join(stuck)}",
            f"It was asked to, and can when it runs again: mcv resume {name}",
        )
    return Refused(
        f"the guest of {name} has not let go of {', '.join(stuck)}",
        f"It goes when the guest lets go or stops: mcv shutdown {name}",
    )


def addresses(host: Host, name: str) -> dict[str, list[GuestAddress]]:
    """The addresses of the guest that runs here, by its cards' MACs."""
    return host.domains.nics.addresses(name)
