"""Mirrors of the disks of running domains: QEMU copies a disk to another volume, and goes over.

While a mirror is at work the guest writes to its old volume; what it writes reaches the other
one a little later. The volume that a domain has, and its mirror, are told by the live XML.
"""

import time
import xml.etree.ElementTree as ET
from typing import Any

from mcv.document.generation import Value
from mcv.drivers.domain_source import Source
from mcv.drivers.libvirt_connection import Connection, change, libvirt_module, read
from mcv.drivers.libvirt_devices import disk_element
from mcv.errors import HypervisorFailed

ENDING = 60.0  # s that QEMU has to end a mirror that was given up
PAUSE = 0.1


class Mirror(Value, frozen=True, kw_only=True):
    """A mirror at work: the path that it goes to, and how far it is, in bytes.

    `ready`: the volume holds all but what is on its way, so the guest may go over to it.
    """

    path: str
    ready: bool
    done: int
    total: int


class LiveMirrors:
    """Talks to libvirt about mirrors; a disk is named by its target."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @read
    def source(self, name: str, target: str) -> str:
        """The path that a running domain writes to; "" where it does not run, or has no disk."""
        with self._connection.domain(name, "look at", missing_ok=True) as domain:
            if domain is None or not domain.isActive():
                return ""
            return source_of(str(domain.XMLDesc(0)), target)

    @read
    def seen(self, name: str, target: str) -> Mirror | None:
        """The mirror of a disk; None where there is none, or the domain does not run."""
        with self._connection.domain(name, "look at", missing_ok=True) as domain:
            if domain is None or not domain.isActive():
                return None
            return _seen(domain, target)

    @change
    def begin(self, name: str, target: str, to: Source, format: str) -> None:
        """Begin to mirror a disk to a volume; harmless where that is under way.

        Precondition: the volume is as large as the guest sees the disk, and nothing of it is
        needed. Errors: HypervisorFailed, also where the disk is mirrored to elsewhere.
        """
        libvirt = libvirt_module()
        flags = (
            libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT | libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB
        )
        with self._connection.domain(name, f"mirror disk {target} of") as domain:
            present = _seen(domain, target)
            if present is not None:
                _require_path(name, target, present, to.path)
                return
            if source_of(str(domain.XMLDesc(0)), target) != to.path:
                domain.blockCopy(target, mirror_xml(to, format), {}, flags)

    @change
    def pivot(self, name: str, target: str, path: str) -> None:
        """Have the domain go over to the volume at `path`; harmless when it has.

        Precondition: its mirror is ready. Effect: all that the guest wrote is in the volume and
        durable there, and the old volume is closed. Errors: HypervisorFailed, the domain then
        writes where it wrote before.
        """
        libvirt = libvirt_module()
        with self._connection.domain(name, f"move disk {target} of") as domain:
            if source_of(str(domain.XMLDesc(0)), target) == path:
                return
            present = _seen(domain, target)
            if present is None:
                raise HypervisorFailed(f"Could not move disk {target} of {name}: it has no mirror.")
            _require_path(name, target, present, path)
            domain.blockJobAbort(target, libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)

    @change
    def end(self, name: str, target: str) -> None:
        """Give a mirror up: the domain stays with the volume that it has; harmless without one."""
        with self._connection.domain(name, f"end the mirror of {target} of", True) as domain:
            until = time.monotonic() + ENDING
            while domain is not None and domain.isActive() and _seen(domain, target) is not None:
                _give_up(domain, target)
                if time.monotonic() > until:
                    raise HypervisorFailed(f"libvirt still mirrors disk {target} of {name}.")
                time.sleep(PAUSE)


def source_of(xml: str, target: str) -> str:
    """The path of a disk in a definition; "" where it has no such disk."""
    element = disk_element(xml, target)
    return "" if element is None else _path(element.find("source"))


def mirror_in(xml: str, target: str) -> tuple[str, bool] | None:
    """The path of a disk's mirror in a live definition, and whether it is ready."""
    element = disk_element(xml, target)
    mirror = None if element is None else element.find("mirror")
    if mirror is None:
        return None
    return _path(mirror.find("source")), mirror.get("ready") == "yes"


def mirror_xml(to: Source, format: str) -> str:
    """Where a mirror goes, in libvirt's words."""
    disk = ET.Element("disk", type=to.type, device="disk")
    ET.SubElement(disk, "driver", name="qemu", type=format)
    ET.SubElement(disk, "source", {"dev" if to.type == "block" else "file": to.path})
    return ET.tostring(disk, encoding="unicode")


def _path(source: ET.Element | None) -> str:
    return "" if source is None else source.get("dev") or source.get("file") or ""


def _seen(domain: Any, target: str) -> Mirror | None:
    found = mirror_in(str(domain.XMLDesc(0)), target)
    if found is None:
        return None
    path, ready = found
    job = domain.blockJobInfo(target, 0) or {}
    return Mirror(path=path, ready=ready, done=int(job.get("cur", 0)), total=int(job.get("end", 0)))


def _require_path(name: str, target: str, mirror: Mirror, path: str) -> None:
    if mirror.path != path:
        raise HypervisorFailed(
            f"Disk {target} of {name} is mirrored to {mirror.path}, and not to {path}."
        )


def _give_up(domain: Any, target: str) -> None:
    """Ask QEMU to end the mirror; no error where it has just ended by itself."""
    libvirt = libvirt_module()
    try:
        domain.blockJobAbort(target, 0)
    except libvirt.libvirtError:
        if _seen(domain, target) is not None:
            raise
