"""Trial definitions: whether this host's libvirt takes a domain, without there being one.

A trial bears mcv's mark, a UUID of its own and a name that no VM can have. It is undefined again
whatever happens; what a daemon left that was killed in between is of no document, so the check
sees it, and the next daemon's start removes it.
"""

import uuid
import xml.etree.ElementTree as ET

from mcv.drivers.libvirt_connection import (
    Connection,
    change,
    ignoring_missing,
    libvirt_module,
    undefine_whole,
)

PREFIX = "mcv_trial-"


def as_trial(xml: str) -> str:
    """A definition under a name and a UUID that no VM has."""
    root = ET.fromstring(xml)
    number = uuid.uuid4()
    for tag, text in (("name", f"{PREFIX}{number.hex[:12]}"), ("uuid", str(number))):
        element = root.find(tag)
        assert element is not None
        element.text = text
    return ET.tostring(root, encoding="unicode")


class Trials:
    """Asks the libvirt of this host, on the connections of the Hypervisor."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @change
    def why_not(self, xml: str) -> str:
        """What libvirt says against a definition, checked against its schema; "" for nothing.

        The name and the UUID do not count.
        """
        libvirt = libvirt_module()
        with self._connection.translated("Could not try a definition"):
            connection = self._connection.current()
            try:
                trial = connection.defineXMLFlags(as_trial(xml), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
            except libvirt.libvirtError as error:
                if error.get_error_domain() == libvirt.VIR_FROM_RPC:
                    raise
                lines = str(error.get_error_message() or error).splitlines()
                return "; ".join(line.strip().rstrip(".") for line in lines if line.strip())
            undefine_whole(trial)
            return ""

    @change
    def remove_left(self) -> list[str]:
        """Undefine the trials that were left by a daemon that was killed; their names."""
        with self._connection.translated("Could not list the domains"):
            domains = self._connection.retrying(lambda host: host.listAllDomains(0))
            left = []
            for domain in domains:
                with ignoring_missing():
                    name = str(domain.name())
                    if name.startswith(PREFIX) and not domain.isActive():
                        undefine_whole(domain)
                        left.append(name)
            return left
