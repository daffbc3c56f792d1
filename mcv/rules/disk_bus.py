"""Buses: which disks each can carry, and what of a disk changes while its guest runs."""

from collections.abc import Iterable
from typing import get_args

from mcv import sizes
from mcv.document.disks import Bus, Cache, Disk, DrbdDisk, SharedDisk
from mcv.document.model import Vm
from mcv.errors import Refused
from mcv.rules.finding import Finding, Severity

BUSES: tuple[Bus, ...] = get_args(Bus)
CACHES: tuple[Cache, ...] = get_args(Cache)
PLUGGABLE: tuple[Bus, ...] = ("virtio", "scsi")
MOST_ON_IDE = 4  # hda to hdd: two channels with two disks each
MOST_ON_SATA = 5  # the CD drive has the controller's last port
COHERENT: tuple[Cache, ...] = ("none", "directsync")


def why_not_on(vm: Vm, disk: Disk) -> list[Refused]:
    """What forbids a disk of a VM on the bus and with the cache that it has."""
    problems = []
    if disk.bus == "ide" and vm.machine and "q35" in vm.machine:
        problems.append(Refused(f"The machine of {vm.name} ({vm.machine}) has no IDE."))
    most = {"ide": MOST_ON_IDE, "sata": MOST_ON_SATA}.get(disk.bus)
    if most is not None and disk.id > most:
        problems.append(
            Refused(
                f"Bus {disk.bus} has room for disks 1 to {most}, and this is disk {disk.id}.",
                "Take virtio or scsi: bus=virtio",
            )
        )
    if disk.cache not in COHERENT and isinstance(disk, DrbdDisk | SharedDisk):
        problems.append(
            Refused(
                f"A disk of kind {disk.storage} is opened by two hosts in turn: "
                f"cache {disk.cache} would show one of them what it remembers.",
                f"It can be: {', '.join(COHERENT)}.",
            )
        )
    return problems


def why_not_plugged(vm: Vm, disk: Disk, is_active: bool, verb: str) -> list[Refused]:
    """What forbids to give or to take a disk while the VM runs."""
    if not is_active or disk.bus in PLUGGABLE:
        return []
    return [
        Refused(
            f"A disk on bus {disk.bus} is {verb} while {vm.name} is stopped.",
            f"First: mcv shutdown {vm.name} --wait (or bus virtio or scsi)",
        )
    ]


def why_leaving(vm: Vm, disk: Disk) -> list[Refused]:
    """What forbids to change a disk that is being taken from its VM."""
    if not disk.leaving:
        return []
    return [
        Refused(
            f"Disk {disk.id} of {vm.name} is leaving: its guest has not let go of it.",
            f"It goes when {vm.name} stops, or: mcv disk remove {vm.name} {disk.id}",
        )
    ]


def why_mirrored(vm: Vm) -> list[Refused]:
    """What forbids to start, move or change a VM of which a disk is not known to be whole."""
    return [
        Refused(
            f"Disk {disk.id} of {vm.name} was being moved on {vm.node}: which volume has its bytes "
            f"{vm.node} alone can tell.",
            f"{vm.node} ends the move by itself: mcv job list",
        )
        for disk in vm.disks
        if disk.mirror_of
    ]


def finding(vm: Vm, disk: Disk) -> Finding | None:
    """A note for a disk that is leaving: its volume is there as long as its guest has it."""
    problems = why_leaving(vm, disk)
    if not problems or vm.claim is not None:
        return None
    return Finding(
        severity=Severity.NOTE, message=problems[0].message, hint=f"mcv shutdown {vm.name} --wait"
    )


def pending(known: Disk, new: Disk, names: Iterable[str]) -> list[str]:
    """In words, what of a change counts only from the next start on."""
    return [
        in_words(name, getattr(new, name))
        for name in names
        if name in ("cache", "discard") and getattr(known, name) != getattr(new, name)
    ]


def in_words(name: str, value: object) -> str:
    """A setting and its value, with its unit."""
    if name == "bandwidth" and isinstance(value, int):
        return f"bandwidth {sizes.shown(value)}/s" if value else "bandwidth without limit"
    if name == "iops":
        return f"{value} iops" if value else "iops without limit"
    return f"{name} {value if not isinstance(value, bool) else 'yes' if value else 'no'}"
