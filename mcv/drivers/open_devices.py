"""Who has a block device of this host open, by /proc and /sys: libvirt forgets a QEMU too early.

A QEMU that waits for suspended I/O outlives its domain: no signal ends it, and it still writes
what it had begun to write.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from mcv.document.generation import Value

EMULATORS = ("qemu", "kvm")


class Holder(Value, frozen=True, kw_only=True):
    """A process that has a device open (pid 0: a mount, or a device on top of it)."""

    name: str
    pid: int = 0

    @property
    def is_emulator(self) -> bool:
        """Whether the process is a QEMU; libvirt may have forgotten its domain."""
        return bool(self.pid) and self.name.startswith(EMULATORS)

    def __str__(self) -> str:
        return f"{self.name} ({self.pid})" if self.pid else self.name


def holders(root: Path, device: str) -> list[Holder]:
    """What has the device (`dev/drbd100`) or the file open; nothing where there is none."""
    try:
        status = (root / device).stat()
    except OSError:
        return []
    if stat.S_ISREG(status.st_mode):
        return list(_processes(root, status))
    number = status.st_rdev
    return [*_processes(root, status), *_mounts(root, number), *_devices(root, number)]


def _processes(root: Path, opened: os.stat_result) -> Iterator[Holder]:
    for process in (root / "proc").glob("[0-9]*"):
        if any(_is(link, opened) for link in _descriptors(process)):
            yield Holder(name=_read(process / "comm").strip() or "a process", pid=int(process.name))


def _descriptors(process: Path) -> Iterator[Path]:
    """The open files of a process; of a process that ends, those of the threads that are left."""
    own = _listed(process / "fd")
    yield from own
    if not own:
        for thread in _listed(process / "task"):
            yield from _listed(thread / "fd")


def _listed(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def _is(link: Path, opened: os.stat_result) -> bool:
    try:
        # Most descriptors are no paths: a readlink costs less than a look at what is open.
        if not os.readlink(link).startswith("/"):
            return False
        status = link.stat()
    except OSError:
        return False
    if stat.S_ISREG(opened.st_mode):
        return os.path.samestat(status, opened)
    return status.st_rdev == opened.st_rdev


def _mounts(root: Path, number: int) -> Iterator[Holder]:
    mark = f"{os.major(number)}:{os.minor(number)}"
    for line in _read(root / "proc/1/mountinfo").splitlines():
        words = line.split()
        if len(words) > 4 and words[2] == mark:
            yield Holder(name=f"mounted on {words[4]}")


def _devices(root: Path, number: int) -> Iterator[Holder]:
    above = root / f"sys/dev/block/{os.major(number)}:{os.minor(number)}/holders"
    for device in _listed(above):
        yield Holder(name=device.name)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
