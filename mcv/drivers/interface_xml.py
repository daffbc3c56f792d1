"""A VM's card in libvirt's words."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping

from mcv.document.networks import Network, Nic
from mcv.drivers.domain_devices import network_name


def element(
    nic: Nic, network: Network | None, node: str, order: Mapping[str, int] | None = None
) -> ET.Element:
    """A card as it is connected on a node; without an order, as libvirt takes it while it runs."""
    source = {"bridge": nic.bridge_in(network, node) if network else ""}
    if network and network.nat:
        source = {"network": network_name(network.name)}
    card = ET.Element("interface", type=next(iter(source)))
    ET.SubElement(card, "mac", address=nic.mac)
    ET.SubElement(card, "source", source)
    ET.SubElement(card, "model", type=nic.model or "virtio")
    if network and network.mtu:
        ET.SubElement(card, "mtu", size=str(network.mtu))
    if nic.link == "down":
        ET.SubElement(card, "link", state="down")
    if order and nic.mac in order:
        ET.SubElement(card, "boot", order=str(order[nic.mac]))
    return card
