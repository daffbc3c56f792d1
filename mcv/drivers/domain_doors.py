"""Where QEMU lets others in to a domain that runs: the pty of its serial line, its screen."""

import os
import xml.etree.ElementTree as ET
from pathlib import Path

from mcv.drivers import open_devices
from mcv.drivers.libvirt_connection import Connection, read
from mcv.drivers.libvirt_xml import vnc_of


class Doors:
    """Finds the doors of running domains, as libvirt tells of them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @read
    def console(self, name: str) -> str:
        """The pty of a domain's serial line; "" where the domain does not run or has none."""
        return console_of(self._xml(name))

    @read
    def screen(self, name: str) -> str:
        """Where a domain's VNC server answers; "" where it does not run or has none."""
        return screen_of(self._xml(name))

    def _xml(self, name: str) -> str:
        with self._connection.domain(name, "look at", missing_ok=True) as domain:
            return str(domain.XMLDesc(0)) if domain is not None and domain.isActive() else ""

    def readers(self, pty: str) -> list[str]:
        """The other programs that have a pty open: bytes would go to one of them or the other."""
        found = open_devices.holders(Path("/"), pty.lstrip("/"))
        return [str(each) for each in found if each.pid and each.pid != os.getpid()]


def console_of(xml: str) -> str:
    """Read a running domain's XML: the pty of its first serial line."""
    for kind in ("serial", "console") if xml else ():
        for device in ET.fromstring(xml).iterfind(f"devices/{kind}[@type='pty']"):
            source = device.find("source")
            if source is not None and source.get("path", "").startswith("/dev/pts/"):
                return source.get("path", "")
    return ""


def screen_of(xml: str) -> str:
    """Read a running domain's XML: its VNC server's unix socket, or its address:port on loopback.

    "" where it has neither: a screen that is open to the network is not mcv's.
    """
    if not xml:
        return ""
    listen = ET.fromstring(xml).find("devices/graphics[@type='vnc']/listen[@type='socket']")
    if listen is not None:
        return listen.get("socket", "")
    address = vnc_of(xml) or ""
    return address if address.startswith("127.0.0.1:") else ""
