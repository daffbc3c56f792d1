"""libvirt's own networks on this host, which give guests addresses and lead them out by NAT."""

import ipaddress
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable
from typing import Any

from mcv.drivers.domain_devices import OUR_NETWORKS as OURS
from mcv.drivers.domain_devices import network_name
from mcv.drivers.libvirt_connection import Connection, change, libvirt_module, read
from mcv.errors import CommandFailed, HypervisorFailed
from mcv.system.process import run

# Ranges that are tried one after the other; libvirt's own default network is not among them.
RANGES = tuple(ipaddress.IPv4Network(f"192.168.{third}.0/24") for third in range(130, 250))
Range = ipaddress.IPv4Network


def network_xml(network: str, bridge: str, addresses: Range) -> str:
    """A network with a bridge of its own, on which this host gives addresses of a range."""
    root = ET.Element("network")
    ET.SubElement(root, "name").text = network_name(network)
    ET.SubElement(root, "forward", mode="nat")
    ET.SubElement(root, "bridge", name=bridge, stp="on", delay="0")
    first, last = addresses[1], addresses[-2]
    ip = ET.SubElement(root, "ip", address=str(first), netmask=str(addresses.netmask))
    dhcp = ET.SubElement(ip, "dhcp")
    ET.SubElement(dhcp, "range", start=str(addresses[2]), end=str(last))
    return ET.tostring(root, encoding="unicode")


def range_in(xml: str) -> Range | None:
    """The range of a network as libvirt gives it back; None where it has none."""
    ip = ET.fromstring(xml).find("ip")
    if ip is None:
        return None
    try:
        return ipaddress.IPv4Network(f"{ip.get('address')}/{ip.get('netmask')}", strict=False)
    except ValueError:
        return None


def free_range(taken: Iterable[Range], wanted: Range | None = None) -> Range | None:
    """The first range that overlaps none that is taken, the wanted one before all others."""
    used = list(taken)
    candidates = ((wanted,) if wanted else ()) + RANGES
    return next(
        (each for each in candidates if not any(each.overlaps(other) for other in used)), None
    )


def routes(run: Callable[..., str] = run) -> list[Range]:
    """The IPv4 networks that this host has a route to; raises CommandFailed."""
    text = run("ip", "-json", "-4", "route", "show", "table", "all")
    try:
        rows = json.loads(text or "[]")
        found = [str(row["dst"]) for row in rows if row.get("dst", "default") != "default"]
        return [ipaddress.IPv4Network(each, strict=False) for each in found]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommandFailed(f"`ip route` told no routes: {error}.") from error


class Networks:
    """Defines, starts and takes away the networks whose names mcv gave."""

    def __init__(self, connection: Connection, routes: Callable[[], list[Range]] = routes) -> None:
        self._connection = connection
        self._routes = routes

    @read
    def active(self) -> dict[str, bool]:
        """Whether each of mcv's networks here is active, by its name in the document."""
        with self._connection.translated("Could not list the networks"):
            networks = self._connection.retrying(lambda host: host.listAllNetworks(0))
            return {
                str(each.name()).removeprefix(OURS): bool(each.isActive())
                for each in networks
                if str(each.name()).startswith(OURS)
            }

    @change
    def bring_up(self, network: str, bridge: str) -> None:
        """Define and start a network; harmless when it is active.

        Its range stays, unless this host has a route into it now. Raises HypervisorFailed.
        """
        with self._connection.translated(f"Could not start the network {network}"):
            connection = self._connection.current()
            present = _lookup(connection, network)
            if present is not None and present.isActive():
                return
            old = range_in(str(present.XMLDesc(0))) if present is not None else None
            addresses = free_range(self._routes(), old)
            if addresses is None:
                raise HypervisorFailed(
                    f"Could not start the network {network}: this host has routes into "
                    f"every range from {RANGES[0]} to {RANGES[-1]}."
                )
            if present is not None and old != addresses:
                present.undefine()
            defined = connection.networkDefineXML(network_xml(network, bridge, addresses))
            # mcvd starts it, on every node where it is in the document.
            defined.create()

    @change
    def take_away(self, network: str) -> None:
        """Stop and forget a network; harmless when there is none."""
        with self._connection.translated(f"Could not take the network {network} away"):
            present = _lookup(self._connection.current(), network)
            if present is None:
                return
            if present.isActive():
                present.destroy()
            if present.isPersistent():
                present.undefine()


def _lookup(connection: Any, network: str) -> Any:
    libvirt = libvirt_module()
    try:
        return connection.networkLookupByName(network_name(network))
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_NETWORK:
            raise
        return None
