"""Live migrations by the libvirt of this host: begun, followed and aborted."""

from typing import Any

from mcv.document.generation import Value
from mcv.drivers.domain_reading import MIB
from mcv.drivers.libvirt_connection import (
    Connection,
    change,
    ignoring_missing,
    libvirt_module,
    read,
)
from mcv.drivers.migration_xml import MovedDisks, for_destination


class Movement(Value, frozen=True, kw_only=True):
    """A live migration under way: bytes of memory and of disks; of memory, bytes a second."""

    total: int
    remaining: int
    rate: int


class LiveMigration:
    """Moves running domains to another libvirt, on the connections of the Hypervisor."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def send(
        self,
        name: str,
        to: str,
        memory: str,
        bandwidth: int = 0,
        disks: MovedDisks | None = None,
        proven_shared: bool = False,
    ) -> None:
        """Move a running domain to the libvirt at the URI `to`, and wait; it ends here.

        It arrives paused, and whoever asked for this resumes it there: libvirt itself starts
        an arrival before it knows that the departure has ended, and where the answer to that
        is lost it lets both run. `memory` is the URI by which QEMU gets the memory across;
        bandwidth is in bytes a second, 0 for no limit. `disks` go along; no other disk does.
        Where the other disks are proven to be shared, libvirt does not judge their file systems.
        """
        libvirt = libvirt_module()
        flags = (
            libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER | libvirt.VIR_MIGRATE_PAUSED
        )
        if proven_shared:
            flags |= libvirt.VIR_MIGRATE_UNSAFE
        params: dict[str, Any] = {libvirt.VIR_MIGRATE_PARAM_URI: memory}
        if bandwidth:
            params[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = max(1, bandwidth // MIB)
        if disks is not None and disks.mirrored:
            flags |= libvirt.VIR_MIGRATE_NON_SHARED_DISK
            # Without the list libvirt copies every disk that can be written, a replicated or a
            # shared one over itself.
            params[libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS] = list(disks.mirrored)
            params[libvirt.VIR_MIGRATE_PARAM_DISKS_URI] = disks.uri
        with self._connection.own_connection(name, "migrate") as domain:
            if disks is not None:
                xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_MIGRATABLE)
                params[libvirt.VIR_MIGRATE_PARAM_DEST_XML] = for_destination(xml, disks)
            domain.migrateToURI3(to, params, flags)

    @read
    def expected(self, name: str) -> str:
        """The XML of the domain as it may arrive here: its definition, completed by libvirt."""
        with self._connection.domain(name, "read") as domain:
            return str(domain.XMLDesc(libvirt_module().VIR_DOMAIN_XML_INACTIVE))

    @read
    def movement(self, name: str) -> Movement | None:
        """How far the migration of a domain is, coming or going; None where there is none."""
        libvirt = libvirt_module()
        with self._connection.domain(name, "look at", missing_ok=True) as domain:
            if domain is None or not domain.isActive():
                return None
            with ignoring_missing():
                job = domain.jobStats()
                if job.get("type", 0) == libvirt.VIR_DOMAIN_JOB_NONE:
                    return None
                return Movement(
                    total=int(job.get("data_total", 0)),
                    remaining=int(job.get("data_remaining", 0)),
                    rate=int(job.get("memory_bps", 0)),
                )
            return None

    @change
    def abort(self, name: str) -> None:
        """Abort a migration, harmless where there is none; the domain goes on here."""
        if self.movement(name) is not None:
            with self._connection.domain(name, "end the migration of", missing_ok=True) as domain:
                if domain is not None:
                    _unless_over(domain)


def _unless_over(domain: Any) -> None:
    """Abort a domain's job; no error where the job has just ended."""
    libvirt = libvirt_module()
    try:
        domain.abortJob()
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (
            libvirt.VIR_ERR_OPERATION_INVALID,
            libvirt.VIR_ERR_NO_DOMAIN,
        ):
            raise
