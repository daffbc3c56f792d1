"""Starts of which no answer is known: their markers, and whether libvirt has done with them."""

from typing import Any

from mcv.drivers.libvirt_connection import Connection, is_missing, libvirt_module, read
from mcv.errors import McvError
from mcv.ha.gate import Passage


class Starts:
    """Looks at libvirt for starts that a daemon began that is gone."""

    def __init__(self, connection: Connection, gate: Passage) -> None:
        self._connection = connection
        self._gate = gate

    def forget_ended(self) -> None:
        """Remove the markers of the starts that libvirt has done with.

        Precondition: no domain bears a name that a start was marked by, but the one that was
        started. Where libvirt does not answer the markers stay.
        """
        for name in self._gate.left():
            try:
                if self._is_over(name):
                    self._gate.unmark(name)
            except McvError:
                continue

    @read
    def _is_over(self, name: str) -> bool:
        """Whether the domain runs, or libvirt lets its definition be changed: no start is on.

        A start holds the domain's job, for which every change waits; libvirt gives up waiting
        with an error.
        """
        libvirt = libvirt_module()
        with self._connection.translated(f"Could not look at the start of {name}"):
            connection = self._connection.current()
            try:
                domain = connection.lookupByName(name)
            except libvirt.libvirtError as error:
                if is_missing(error):
                    return True
                raise
            return bool(domain.isActive()) or _takes_changes(domain)


def _takes_changes(domain: Any) -> bool:
    """Write a title that the definition has already; it is changed by nothing else."""
    libvirt = libvirt_module()
    kind, where = libvirt.VIR_DOMAIN_METADATA_TITLE, libvirt.VIR_DOMAIN_AFFECT_CONFIG
    try:
        title = domain.metadata(kind, None, where)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            raise
        title = None
    domain.setMetadata(kind, title, None, None, where)
    return True
