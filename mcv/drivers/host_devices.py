"""USB and PCI devices of this host, as the kernel's sysfs tells of them."""

from collections.abc import Iterator
from pathlib import Path

from mcv.document.generation import Value
from mcv.document.hardware import Device

SYS = Path("/sys")
PROC = Path("/proc")
HUB = "09"  # the class of USB hubs, root hubs among them
BRIDGE = "0x06"  # the class of PCI bridges
MOST_WORDS = 80  # characters of a device's own words
MOST_SHOWN = 4  # interfaces and disks that one device is told to be


class HostDevice(Value, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A device that a host has now; it crosses between nodes.

    `address` is where it is: `bus.device`, or a PCI address. `product` is a USB device's
    `vendor:product`. `group` is a PCI device's IOMMU group, "" without an IOMMU; `used` is what
    the host itself does with it now, "" for nothing.
    """

    type: str
    address: str
    name: str
    product: str = ""
    driver: str = ""
    group: str = ""
    used: str = ""

    def is_meant(self, device: Device) -> bool:
        """Whether a device of the document is this one."""
        return device.type == self.type and device.address in (self.address, self.product)


class HostDevices:
    """Looks at the devices of this host."""

    def __init__(self, root: Path = SYS, proc: Path = PROC) -> None:
        self._root = root
        self._proc = proc

    def all(self) -> list[HostDevice]:
        """All devices that a VM could be given, USB first; what cannot be read is left out."""
        return [*self._usb(), *self._pci()]

    def has_iommu(self) -> bool:
        """Whether the kernel keeps devices apart; without that one can write to all memory."""
        return any(self._entries("kernel/iommu_groups"))

    def _usb(self) -> Iterator[HostDevice]:
        for path in self._entries("bus/usb/devices"):
            bus, number = _read(path / "busnum"), _read(path / "devnum")
            if not (bus.isdigit() and number.isdigit()) or _read(path / "bDeviceClass") == HUB:
                continue
            product = f"{_read(path / 'idVendor')}:{_read(path / 'idProduct')}".lower()
            words = " ".join(filter(None, (_read(path / "manufacturer"), _read(path / "product"))))
            yield HostDevice(
                type="usb",
                address=f"{int(bus)}.{int(number)}",
                product=product,
                name=words[:MOST_WORDS],
                driver=", ".join(self._usb_drivers(path)),
                used=self._use_of(path),
            )

    def _usb_drivers(self, path: Path) -> list[str]:
        """The drivers of a USB device's interfaces."""
        return sorted({_target(each) for each in path.glob("*/driver")} - {""})

    def _pci(self) -> Iterator[HostDevice]:
        for path in self._entries("bus/pci/devices"):
            kind = _read(path / "class")
            if not kind or kind.startswith(BRIDGE):
                continue
            vendor, device = (
                _read(path / word).removeprefix("0x") for word in ("vendor", "device")
            )
            yield HostDevice(
                type="pci",
                address=path.name.lower(),
                name=f"{vendor}:{device}, class {kind.removeprefix('0x')[:4]}",
                driver=_target(path / "driver"),
                group=_target(path / "iommu_group"),
                used=self._use_of(path),
            )

    def _use_of(self, path: Path) -> str:
        """What this host does with a device now: interfaces that are up, disks that are open."""
        device = f"{path.resolve()}/"
        used = [
            f"{what} {entry.name}"
            for what, where, is_used in (
                ("interface", "class/net", _is_up),
                ("disk", "class/block", self._is_open),
            )
            for entry in self._entries(where)
            if str(entry.resolve()).startswith(device) and is_used(entry)
        ]
        return ", ".join(used[:MOST_SHOWN])

    def _is_open(self, disk: Path) -> bool:
        """Whether a disk or a partition is mounted, swapped to, or below LVM, DRBD or the like."""
        holders = disk / "holders"
        is_held = holders.is_dir() and any(holders.iterdir())
        return is_held or f"/dev/{disk.name}" in self._mounted()

    def _mounted(self) -> set[str]:
        lines = [_read(self._proc / name) for name in ("mounts", "swaps")]
        return {line.split()[0] for line in "\n".join(lines).splitlines() if line.strip()}

    def _entries(self, where: str) -> list[Path]:
        try:
            return sorted((self._root / where).iterdir())
        except OSError:
            return []


def _is_up(interface: Path) -> bool:
    """Whether a network interface has a link, or is a port of a bridge or a bond."""
    return _read(interface / "operstate") == "up" or (interface / "master").exists()


def _read(path: Path) -> str:
    """A word of sysfs; "" where there is none. A device may go while it is looked at."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _target(path: Path) -> str:
    """The name of what a link leads to; "" without the link."""
    try:
        return path.readlink().name
    except OSError:
        return ""
