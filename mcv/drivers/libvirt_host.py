"""What this host could run, by its libvirt: memory, and domains that run elsewhere."""

import os
from typing import Any

from mcv.drivers.libvirt_connection import libvirt_module
from mcv.drivers.libvirt_xml import parse_capabilities, parse_needs


def why_not_host(connection: Any, xml: str) -> str:
    """Why a domain that runs elsewhere with this XML could not go on here; "" if it could."""
    wants = parse_needs(xml)
    can = parse_capabilities(connection.getCapabilities())
    if wants.domain_type not in can.emulators:
        return f"it has no {wants.domain_type}."
    if not os.access(wants.emulator, os.X_OK):
        return f"it has no {wants.emulator}."
    if wants.machine not in can.machines:
        return f"its QEMU knows no machine {wants.machine}."
    if wants.domain_type != "kvm" or not wants.cpu:
        return ""
    libvirt = libvirt_module()
    same = connection.compareHypervisorCPU(
        wants.emulator, "x86_64", wants.machine, wants.domain_type, wants.cpu, 0
    )
    return "" if same > libvirt.VIR_CPU_COMPARE_INCOMPATIBLE else "its CPU lacks what is in use."


def memory(connection: Any) -> int:
    """Bytes that are free, or only cache files."""
    libvirt = libvirt_module()
    try:
        kib = connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS, 0)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
        return int(connection.getFreeMemory())
    return int(sum(kib.get(key, 0) for key in ("free", "buffers", "cached"))) * 1024
