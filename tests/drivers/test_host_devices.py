"""Devices of a host: read from a sysfs that a test lays out, and put into libvirt's words."""

import os
from pathlib import Path

import pytest

from mcv.document.hardware import Device
from mcv.drivers import host_device_xml
from mcv.drivers.host_devices import HostDevice, HostDevices
from mcv.drivers.libvirt_host_devices import find


def write(path: Path, **words: str) -> Path:
    path.mkdir(parents=True)
    for name, word in words.items():
        (path / name).write_text(f"{word}\n")
    return path


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(os.path.relpath(target, path.parent))


@pytest.fixture
def host(tmp_path: Path) -> HostDevices:
    """A host with a stick, a hub, a bridge, a card that is up and a disk that is mounted."""
    sys, proc = tmp_path / "sys", tmp_path / "proc"
    usb, pci = sys / "devices/usb1", sys / "devices/pci0000:00"
    stick = {"idVendor": "1D6B", "idProduct": "0104", "product": "Stick", "bDeviceClass": "00"}
    write(usb / "1-2", busnum="1", devnum="7", **stick, manufacturer="Maker")
    write(usb / "1-0", busnum="1", devnum="1", bDeviceClass="09", idVendor="1d6b")
    write(pci / "0000:00:01.0", **{"class": "0x060400"}, vendor="0x8086", device="0x0001")
    card = write(pci / "0000:03:00.0", **{"class": "0x020000"}, vendor="0x8086", device="0x10d3")
    disk = write(pci / "0000:04:00.0", **{"class": "0x010802"}, vendor="0x144d", device="0xa808")
    write(card / "net/eth0", operstate="up")
    write(disk / "nvme/nvme0n1/nvme0n1p1", partition="1")
    (disk / "nvme/nvme0n1/nvme0n1p1/holders").mkdir()
    link(card / "driver", sys / "bus/pci/drivers/e1000e")
    link(card / "iommu_group", sys / "kernel/iommu_groups/7")
    (sys / "kernel/iommu_groups/7").mkdir(parents=True)
    for bus, path in (("usb", usb), ("pci", pci)):
        for device in path.iterdir():
            link(sys / f"bus/{bus}/devices/{device.name}", device)
    link(sys / "class/net/eth0", card / "net/eth0")
    link(sys / "class/block/nvme0n1p1", disk / "nvme/nvme0n1/nvme0n1p1")
    write(proc, mounts="/dev/nvme0n1p1 / ext4 rw 0 0")
    return HostDevices(sys, proc)


def test_devices_are_told_with_what_the_host_does_with_them(host: HostDevices) -> None:
    stick = HostDevice(type="usb", address="1.7", product="1d6b:0104", name="Maker Stick")
    card = HostDevice(
        type="pci",
        address="0000:03:00.0",
        name="8086:10d3, class 0200",
        driver="e1000e",
        group="7",
        used="interface eth0",
    )

    seen = host.all()

    assert seen[:2] == [stick, card]
    assert [each.used for each in seen[2:]] == ["disk nvme0n1p1"]
    assert host.has_iommu()


def test_a_host_without_any_of_it_has_no_devices(tmp_path: Path) -> None:
    empty = HostDevices(tmp_path, tmp_path)

    assert empty.all() == [] and not empty.has_iommu()


@pytest.mark.parametrize(
    ("type", "address", "expected"),
    [
        ("usb", "1.4", "1.4"),
        ("usb", "001.004", "1.4"),
        ("usb", "1D6B:0002", "1d6b:0002"),
        ("usb", "1d6b", ""),
        ("usb", "1.4.2", ""),
        ("usb", "1-4", ""),
        ("usb", "0000:00:02.0", ""),
        ("pci", "0000:00:02.0", "0000:00:02.0"),
        ("pci", "00:1F.3", "0000:00:1f.3"),
        ("pci", "00:02.8", ""),
        ("pci", "1.4", ""),
        ("pci", "../..:02.0", ""),
    ],
)
def test_an_address_has_one_spelling(type: str, address: str, expected: str) -> None:
    assert host_device_xml.canonical(type, address) == expected


@pytest.mark.parametrize(
    ("device", "source"),
    [
        (Device(type="usb", address="1.4", node="n1"), '<address bus="1" device="4" />'),
        (
            Device(type="usb", address="1d6b:0002", node="n1"),
            '<vendor id="0x1d6b" /><product id="0x0002" />',
        ),
        (
            Device(type="pci", address="0000:03:00.1", node="n1"),
            '<address domain="0x0000" bus="0x03" slot="0x00" function="0x1" />',
        ),
    ],
)
def test_a_device_in_libvirts_words(device: Device, source: str) -> None:
    text = host_device_xml.text(device)

    assert text == (
        f'<hostdev mode="subsystem" type="{device.type}" managed="yes"><source>{source}</source>'
        "</hostdev>"
    )


def test_a_running_domains_device_is_found_however_libvirt_writes_it() -> None:
    xml = (
        "<domain><devices><hostdev mode='subsystem' type='scsi'><source><adapter name='x'/>"
        "</source></hostdev><hostdev mode='subsystem' type='usb' managed='yes'><source>"
        "<vendor id='0x1D6B'/><product id='0x0002'/><address bus='1' device='4'/></source>"
        "<alias name='hostdev0'/></hostdev></devices></domain>"
    )

    for address in ("1d6b:0002", "1.4"):
        assert find(xml, Device(type="usb", address=address, node="n1")) is not None
    for address in ("1d6b:0003", "1.5"):
        assert find(xml, Device(type="usb", address=address, node="n1")) is None
