"""The memory, the processors and the limits of a domain that runs, changed while it does."""

from typing import Any

from mcv.drivers.domain_xml import CPU_PERIOD, quota_of
from mcv.drivers.libvirt_connection import Connection, change, libvirt_module

KIB = 1024
NO_QUOTA = -1


class LiveMachine:
    """Talks to libvirt about a domain that runs now; what it is defined as stays.

    Each change is harmless when it is done. What the domain has then its live XML tells, not the
    answer here: a guest without a balloon's driver keeps its memory, and no error says so.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @change
    def set_memory(self, name: str, size: int) -> None:
        """Have the balloon leave so many bytes to the guest: at most those it began with."""
        with self._connection.domain(name, "change the memory of") as domain:
            domain.setMemoryFlags(size // KIB, _live_only())

    @change
    def set_cpus(self, name: str, number: int) -> None:
        """Plug CPUs in, up to the most that the domain began with; none is pulled out."""
        with self._connection.domain(name, "give CPUs to") as domain:
            if int(domain.vcpusFlags(_live_only())) < number:
                domain.setVcpusFlags(number, _live_only())

    @change
    def set_cpu_limit(self, name: str, percent: int) -> None:
        """Hold all of the domain down to so many percent of one CPU; 0 is no limit."""
        quota = quota_of(percent) if percent else NO_QUOTA
        limits = {"global_period": CPU_PERIOD, "global_quota": quota}
        with self._connection.domain(name, "limit the CPU of") as domain:
            domain.setSchedulerParametersFlags(limits, _live_only())


def _live_only() -> Any:
    return libvirt_module().VIR_DOMAIN_AFFECT_LIVE
