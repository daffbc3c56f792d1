"""Whose a domain is: mcv's by its mark and its UUID, never by its name.

Other people's guests live on the same hosts. A domain is a VM's where it bears mcv's mark and
has the UUID that the document gives to that VM; its name may be any.
"""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mcv.document.generation import Value
from mcv.drivers.domain_reading import NAMESPACE

KnownUuids = Callable[[], Mapping[str, str]]  # the UUIDs of the document's VMs, by name

FOREIGN = "foreign"  # a VM's state where a domain that is not the VM's has its name or UUID


class ForeignDomain(Value, frozen=True, kw_only=True):
    """A domain that has the name or the UUID of a VM and is not the VM's.

    A marked domain was defined by mcv for a VM that is in no document any more.
    """

    name: str
    state: str
    marked: bool


class DomainStates(Value, frozen=True, kw_only=True):
    """The domains of a host: the VMs' own, and `foreign` domains in their way, by VM.

    `io_errors` are the VMs that libvirt paused when a disk failed.
    """

    vms: dict[str, str]
    foreign: dict[str, ForeignDomain]
    io_errors: tuple[str, ...] = ()


def is_marked(libvirt: Any, domain: Any) -> bool:
    """Whether a domain bears mcv's mark now."""
    try:
        domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE)
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (
            libvirt.VIR_ERR_NO_DOMAIN_METADATA,
            libvirt.VIR_ERR_NO_DOMAIN,
        ):
            raise
        return False
    return True


class Marks:
    """The UUIDs of domains that bore the mark when they were last listed.

    To ask a thousand domains again and again takes seconds. What changes a domain looks at its
    mark each time.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def bears(self, libvirt: Any, domain: Any, uuid: str) -> bool:
        if uuid not in self._seen and is_marked(libvirt, domain):
            self._seen.add(uuid)
        return uuid in self._seen

    def keep(self, uuids: Iterable[str]) -> None:
        """Forget all but these: the VMs of the others are deleted."""
        self._seen.intersection_update(uuids)

    def forget(self, uuid: str) -> None:
        """Ask again at the next listing: the domain was looked at, and is not marked any more."""
        self._seen.discard(uuid)


def by_uuid(libvirt: Any, connection: Any, uuid: str | None) -> Any:
    """The domain of a UUID, or None."""
    return _looked_up(libvirt, connection.lookupByUUIDString, uuid) if uuid else None


def by_name(libvirt: Any, connection: Any, name: str) -> Any:
    """The domain of a name, whoever made it, or None."""
    return _looked_up(libvirt, connection.lookupByName, name)


def own(libvirt: Any, connection: Any, uuid: str | None) -> Any:
    """The domain of the VM that has this UUID, or None: marked, and of this UUID."""
    domain = by_uuid(libvirt, connection, uuid)
    return domain if domain is not None and is_marked(libvirt, domain) else None


def in_the_way(libvirt: Any, connection: Any, name: str, uuid: str | None) -> Any:
    """A domain with a VM's name or UUID that is not the VM's, or None."""
    for domain in (by_name(libvirt, connection, name), by_uuid(libvirt, connection, uuid)):
        if domain is None:
            continue
        if domain.UUIDString() != uuid or not is_marked(libvirt, domain):
            return domain
    return None


def uuid_of(xml: str) -> str:
    """The UUID of a definition; "" where libvirt will refuse the text."""
    try:
        return ET.fromstring(xml).findtext("uuid", "")
    except ET.ParseError:
        return ""


def name_of(xml: str) -> str:
    """The name in a definition; "" where libvirt will refuse the text."""
    try:
        return ET.fromstring(xml).findtext("name", "")
    except ET.ParseError:
        return ""


def _looked_up(libvirt: Any, look_up: Callable[[str], Any], key: str) -> Any:
    try:
        return look_up(key)
    except libvirt.libvirtError as error:
        # A malformed UUID is no domain's either.
        if error.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_INVALID_ARG):
            raise
        return None
