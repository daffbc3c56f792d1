"""Saved states of domains: the memory that libvirt restores at a domain's next start."""

from typing import Any

from mcv.drivers.domain_reading import NAMESPACE, PREFIX, Mark, SavedState, mark_of, mark_xml
from mcv.drivers.libvirt_connection import (
    Connection,
    change,
    ignoring_missing,
    libvirt_module,
    read,
)

SAVED = "saved"  # the state of a domain that is off and whose next start restores its memory


class SavedStates:
    """Sees and discards the saved states of VMs, on the connections of the Hypervisor."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @read
    def of(self, name: str) -> SavedState | None:
        """The saved state of a VM's domain here; None where there is none."""
        with self._connection.domain(name, "look at", missing_ok=True) as domain:
            if domain is None or not domain.hasManagedSaveImage(0):
                return None
            return _saved_state(domain)

    @read
    def all(self) -> dict[str, SavedState]:
        """The saved states of all VMs' domains here, by VM; an active domain may have one too."""
        flag = libvirt_module().VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE
        with self._connection.translated("Could not list the saved states"):
            domains = self._connection.retrying(lambda host: host.listAllDomains(flag))
            vm_of = {uuid: name for name, uuid in self._connection.known().items()}
            found = {}
            for domain in domains:
                with ignoring_missing():
                    if name := vm_of.get(str(domain.UUIDString())):
                        found[name] = _saved_state(domain)
            return found

    @change
    def discard(self, name: str) -> None:
        """Give the memory up; harmless where there is none."""
        with self._connection.domain(name, "discard the saved state of", missing_ok=True) as domain:
            if domain is not None and domain.hasManagedSaveImage(0):
                domain.managedSaveRemove(0)


def mark_active(domain: Any, mark: Mark | None) -> None:
    """Renew the mark that a domain runs with; no error where the domain has just ended.

    The processor and the overlay that it bears stay: the domain began with them.
    """
    if mark is None:
        return
    libvirt = libvirt_module()
    try:
        begun = mark_of(str(domain.XMLDesc(0)))
        domain.setMetadata(
            libvirt.VIR_DOMAIN_METADATA_ELEMENT,
            mark_xml(mark.incarnation, begun),
            PREFIX,
            NAMESPACE,
            libvirt.VIR_DOMAIN_AFFECT_LIVE,
        )
    except libvirt.libvirtError as error:
        with ignoring_missing():
            if domain.isActive():
                raise error


def _saved_state(domain: Any) -> SavedState:
    """What a saved state tells of itself; nothing where libvirt cannot read it."""
    try:
        mark = mark_of(str(domain.managedSaveGetXMLDesc(0)))
    except libvirt_module().libvirtError:
        return SavedState(incarnation=None)
    return SavedState(incarnation=None if mark is None else mark.incarnation)
