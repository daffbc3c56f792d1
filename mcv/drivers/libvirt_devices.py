"""The disks of a domain that runs: plugged in, pulled out, resized, held down."""

import time
import xml.etree.ElementTree as ET
from typing import Any

from mcv.drivers.libvirt_connection import Connection, change, libvirt_module, read

LETTING_GO = 15.0  # s that a guest has to let go of a disk
PAUSE = 0.25


class LiveDisks:
    """Talks to libvirt about the disks that a running domain has now: its live XML counts.

    A disk is named by its target. A domain that is not active has none.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @read
    def targets(self, name: str) -> list[str]:
        """The targets of the disks that the domain has now."""
        with self._connection.domain(name, "look at", missing_ok=True) as domain:
            return [] if domain is None or not domain.isActive() else targets_in(_live(domain))

    @change
    def attach(self, name: str, target: str, disk: str, controllers: dict[str, str]) -> None:
        """Plug a disk in; harmless where the domain has it.

        `controllers` are those that the disk may need, by kind and index ("scsi 0"): each that
        the domain lacks is plugged in first. What libvirt says then is what happened.
        """
        with self._connection.domain(name, f"give disk {target} to") as domain:
            live = _live(domain)
            if target in targets_in(live):
                return
            present = controllers_in(live)
            for key, controller in controllers.items():
                if key not in present:
                    domain.attachDeviceFlags(controller, _live_only())
            domain.attachDeviceFlags(disk, _live_only())

    @change
    def detach(self, name: str, target: str, patience: float = LETTING_GO) -> bool:
        """Ask the guest to let go of a disk; whether the domain does not have it any more.

        libvirt says that a disk is detached when the guest was asked. A guest without a driver
        never lets go; the live XML has the disk until QEMU tells that it is gone.
        """
        with self._connection.domain(name, f"take disk {target} from", missing_ok=True) as domain:
            until = time.monotonic() + patience
            while domain is not None and domain.isActive() and target in targets_in(_live(domain)):
                _ask_to_let_go(domain, target)
                if time.monotonic() > until:
                    return False
                time.sleep(PAUSE)
            return True

    @read
    def capacity(self, name: str, target: str) -> int:
        """How large the guest sees a disk, in bytes."""
        with self._connection.domain(name, f"look at disk {target} of") as domain:
            return int(domain.blockInfo(target)[0])

    @change
    def resize(self, name: str, target: str, size: int) -> None:
        """Let the guest see a larger size; harmless where it sees it.

        Precondition: `size` is not below what the guest sees. QEMU shrinks a disk without a
        word, so a smaller size is not asked for.
        """
        with self._connection.domain(name, f"grow disk {target} of") as domain:
            if int(domain.blockInfo(target)[0]) < size:
                domain.blockResize(target, size, libvirt_module().VIR_DOMAIN_BLOCK_RESIZE_BYTES)

    @change
    def throttle(self, name: str, target: str, iops: int, bandwidth: int) -> None:
        """Hold a disk down to so many operations and bytes a second; 0 is no limit."""
        limits = {"total_iops_sec": iops, "total_bytes_sec": bandwidth}
        with self._connection.domain(name, f"limit disk {target} of") as domain:
            domain.setBlockIoTune(target, limits, _live_only())

    @read
    def medium(self, name: str, target: str) -> str | None:
        """The file in a CD drive, "" for an empty one; None without a drive that runs."""
        with self._connection.domain(name, "look at", missing_ok=True) as domain:
            if domain is None or not domain.isActive():
                return None
            return medium_in(_live(domain), target)

    @change
    def change_medium(self, name: str, target: str, path: str) -> None:
        """Put a file into a CD drive in place of what is in it, or "" for nothing.

        Harmless where it is so. A guest that holds the drive shut keeps what is in it; libvirt
        says so.
        """
        with self._connection.domain(name, f"change the CD in {target} of") as domain:
            drive = disk_element(_live(domain), target)
            if drive is not None and medium_in(_live(domain), target) != path:
                for source in drive.findall("source"):
                    drive.remove(source)
                if path:
                    ET.SubElement(drive, "source", file=path)
                text = ET.tostring(drive, encoding="unicode")
                domain.updateDeviceFlags(text, _live_only())

    @read
    def limits(self, name: str, target: str) -> tuple[int, int]:
        """The operations and bytes a second that a disk is held down to; 0 is no limit."""
        with self._connection.domain(name, f"look at disk {target} of") as domain:
            found = domain.blockIoTune(target, _live_only())
            return int(found["total_iops_sec"]), int(found["total_bytes_sec"])


def targets_in(xml: str) -> list[str]:
    """The targets of the disks of a definition; a CD drive is none."""
    disks = ET.fromstring(xml).iterfind("devices/disk")
    found = [disk.find("target") for disk in disks if disk.get("device") != "cdrom"]
    return [target.get("dev", "") for target in found if target is not None]


def medium_in(xml: str, target: str) -> str | None:
    """The file in a CD drive of a definition, "" for an empty one; None without that drive."""
    drive = disk_element(xml, target)
    if drive is None or drive.get("device") != "cdrom":
        return None
    source = drive.find("source")
    return "" if source is None else source.get("file", "")


def controllers_in(xml: str) -> list[str]:
    """The controllers of a definition, as kind and index: "scsi 0"."""
    found = ET.fromstring(xml).iterfind("devices/controller")
    return [f"{each.get('type')} {each.get('index')}" for each in found]


def disk_element(xml: str, target: str) -> ET.Element | None:
    """The disk of a target in a definition."""
    for element in ET.fromstring(xml).iterfind("devices/disk"):
        found = element.find("target")
        if found is not None and found.get("dev") == target:
            return element
    return None


def _live(domain: Any) -> str:
    return str(domain.XMLDesc(0))


def _live_only() -> int:
    return int(libvirt_module().VIR_DOMAIN_AFFECT_LIVE)


def _ask_to_let_go(domain: Any, target: str) -> None:
    """Ask QEMU to pull the disk out. Where it was asked already libvirt refuses to ask again."""
    libvirt = libvirt_module()
    element = disk_element(_live(domain), target)
    if element is None:
        return
    try:
        domain.detachDeviceFlags(ET.tostring(element, encoding="unicode"), _live_only())
    except libvirt.libvirtError as error:
        in_progress = "in the process of unplug" in error.get_error_message()
        is_gone = error.get_error_code() == libvirt.VIR_ERR_DEVICE_MISSING
        if not (in_progress or is_gone):
            raise
