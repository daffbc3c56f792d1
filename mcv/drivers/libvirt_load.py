"""What running domains have used so far: processor time, memory, bytes of their disks."""

from collections.abc import Mapping
from typing import Any

from mcv.document.generation import Value
from mcv.drivers.libvirt_connection import Connection, ignoring_missing, libvirt_module, read

KIB = 1024


class Used(Value, frozen=True, kw_only=True):
    """What one VM has used since it was started; None is what libvirt did not tell this time.

    `cpu` in seconds, `memory` of the host in bytes, `read` and `written` bytes of all its disks.
    """

    cpu: float | None
    memory: int | None
    read: int | None
    written: int | None


class Load:
    """Reads what the VMs of this host use, on the connections of the Hypervisor."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @read
    def used(self) -> dict[str, Used]:
        """Of every VM that is active here, by name: a single question for all of them.

        A domain that libvirt is at work on is not waited for.
        """
        with self._connection.translated("Could not read the load"):
            rows = self._connection.retrying(_rows)
            vm_of = {uuid: name for name, uuid in self._connection.known().items()}
            found = {}
            for domain, told in rows:
                uuid = str(domain.UUIDString())
                if uuid not in vm_of:
                    continue
                with ignoring_missing():
                    if self._connection.marks.bears(libvirt_module(), domain, uuid):
                        found[vm_of[uuid]] = used(told)
            return found


def _rows(connection: Any) -> list[tuple[Any, Mapping[str, Any]]]:
    libvirt = libvirt_module()
    wanted = (
        libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
        | libvirt.VIR_DOMAIN_STATS_BALLOON
        | libvirt.VIR_DOMAIN_STATS_BLOCK
    )
    active = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE
    nowait = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
    return list(connection.getAllDomainStats(wanted, active | nowait))


def used(told: Mapping[str, Any]) -> Used:
    """One row of libvirt's in mcv's words."""
    kib = told.get("balloon.rss", told.get("balloon.current"))
    nanoseconds = told.get("cpu.time")
    return Used(
        cpu=None if nanoseconds is None else nanoseconds / 1e9,
        memory=None if kib is None else kib * KIB,
        read=_of_disks(told, "rd.bytes"),
        written=_of_disks(told, "wr.bytes"),
    )


def _of_disks(told: Mapping[str, Any], key: str) -> int | None:
    """The sum over the disks; None where there are disks and libvirt counts of none."""
    count = told.get("block.count", 0)
    counts = [told[name] for n in range(count) if (name := f"block.{n}.{key}") in told]
    return None if count and not counts else sum(counts)
