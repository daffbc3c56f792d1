"""Files of VMs' disks in directories of this host.

What is read of a directory is read by a child process with a deadline: a file system that hangs
(NFS without its server) blocks the child for ever, and not the daemon.
"""

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from msgspec import Struct

from mcv.document.disks import Format
from mcv.drivers import image_lock, open_devices, qcow2
from mcv.drivers.image_lock import Hold
from mcv.drivers.open_devices import Holder
from mcv.errors import CommandFailed
from mcv.system import files
from mcv.system.process import Run, run

OURS = 0o600
PASSABLE = 0o711  # QEMU's user passes through to a file that libvirt gives it
READ = 5.0  # s that a file system has to answer a question

MARK = ".mcv-pool"  # the file with the id of a shared pool
PROBE = ".mcv-probe"
LOCK = ".mcv-lock"  # the file by which two nodes see whether their locks exclude each other
IN_MEMORY = ("tmpfs", "ramfs")
BLOCK = 512  # what find's %b counts
QEMU_GROUPS = ("libvirt-qemu", "kvm")
NOTHING = ("No such file or directory", "Not a directory")
HANGS = "Is its file system there? See: mount, dmesg"
UNMOUNTED = "Is its file system mounted?"
NO_DIRECT = "Invalid argument"  # what open(2) says of O_DIRECT where it cannot be had


class View(Struct, frozen=True, kw_only=True):
    """A directory and its file system, in bytes; `volumes` are its entries, and what each takes."""

    size: int
    free: int
    device: str
    volumes: dict[str, int]


class Shape(Struct, frozen=True, kw_only=True):
    """What a file is as a disk: its format, and how large its guest sees it, in bytes."""

    format: Format
    size: int


class Directories:
    """Makes, finds and deletes the files of disks. A location is a directory, by its whole path."""

    def __init__(self, root: Path = Path("/"), run: Run = run) -> None:
        self._root = root
        self._run = run

    def create(self, location: str, volume: str, size: int, format: Format) -> None:
        """Make a sparse file of so many bytes for the guest; harmless where it is there.

        A name is not chosen twice, so a file of this name is of this very disk. Raises
        CommandFailed where there is no such directory, or no room.
        """
        if self.exists(location, volume):
            return
        path = files.child(Path(location), volume)
        draft = files.child(Path(location), f"{volume}.part")
        self._run("qemu-img", "create", "-q", "-f", format, str(draft), str(size))
        os.chmod(draft, OURS)
        os.rename(draft, path)
        files.sync_directory(path.parent)

    def remove(self, location: str, volume: str) -> None:
        """Delete a file, and the draft of a creation that was cut off."""
        paths = [files.child(Path(location), name) for name in (volume, f"{volume}.part")]
        self._run("rm", "--force", "--", *map(str, paths))

    def exists(self, location: str, volume: str) -> bool:
        """Whether the directory holds the file. Raises CommandFailed where it cannot be read."""
        files.child(Path(location), volume)
        return volume in self.volumes(location)

    def guest_size(self, location: str, volume: str) -> int:
        """How large the guest sees a qcow2 file, in bytes.

        Errors: CommandFailed where there is no file, or where its bytes are not all in it.
        """
        path = files.child(Path(location), volume)
        with _opened(path) as fd:
            header = _header(path, fd)
        if header.has_backing_file or header.has_data_file or header.is_encrypted:
            raise CommandFailed(f"{path} does not hold all of its bytes, or hides them.")
        return header.size

    def shape(self, location: str, volume: str) -> Shape:
        """What a file is as a disk. Raises CommandFailed for no file, and for a damaged qcow2."""
        path = files.child(Path(location), volume)
        with _opened(path) as fd:
            if qcow2.is_qcow2(os.pread(fd, qcow2.BEGINNING, 0)):
                return Shape(format="qcow2", size=_header(path, fd).size)
            return Shape(format="raw", size=os.fstat(fd).st_size)

    def grow(self, location: str, volume: str, size: int) -> None:
        """Let a qcow2 file that nobody has open show its guest more bytes, which read as zeros.

        Harmless where it does. Errors: CommandFailed, for a smaller size too.
        """
        present = self.guest_size(location, volume)
        if size < present:
            raise CommandFailed(f"{location}/{volume} has {present} bytes: it does not shrink.")
        if size > present:
            path = files.child(Path(location), volume)
            self._run("qemu-img", "resize", "-q", "-f", "qcow2", str(path), str(size))

    def holders(self, path: str) -> list[Holder]:
        """Which processes of this host have a file or a device open.

        Raises CommandFailed where the file system does not answer: nothing is known then.
        """
        try:
            self._read(str(Path(path).parent), "stat", "--format=%i", "--", path)
        except CommandFailed as error:
            if error.hint == HANGS:
                raise
        return open_devices.holders(self._root, path.lstrip("/"))

    def view(self, location: str) -> View:
        """The directory as it is now. Raises CommandFailed where there is none, or no answer."""
        device, volumes = self._entries(location)
        size, free = self.room(location)
        return View(size=size, free=free, device=device, volumes=volumes)

    def room(self, location: str) -> tuple[int, int]:
        """How large the file system of a directory is, and what is free of it, in bytes."""
        text = self._read(location, "stat", "--file-system", "--format=%S %b %a", location)
        block, blocks, free = map(int, text.split())
        return blocks * block, free * block

    def volumes(self, location: str) -> dict[str, int]:
        """The entries of a directory, and what each takes, in bytes."""
        return self._entries(location)[1]

    def _entries(self, location: str) -> tuple[str, dict[str, int]]:
        """The device of a directory's file system, and its entries."""
        # The slash behind it follows a link, and fails on what is no directory.
        text = self._read(
            location, "find", f"{location}/", "-maxdepth", "1", "-printf", r"%d %D %b %f\0"
        )
        device, volumes = "", {}
        for entry in text.split("\0")[:-1]:
            depth, of_entry, blocks, name = entry.split(" ", 3)
            if depth == "0":
                device = of_entry
            elif not name.startswith("."):
                volumes[name] = int(blocks) * BLOCK
        return device, volumes

    def device_of(self, path: Path) -> str:
        """Which file system a path of this host's own is on, as View has it."""
        return str(path.stat().st_dev)

    def real(self, location: str) -> str:
        """The path without symbolic links. Raises CommandFailed where there is no directory."""
        return self._read(location, "realpath", "--canonicalize-existing", "--", location).rstrip(
            "\n"
        )

    def closed(self, location: str) -> list[str]:
        """The directories on the way to a location, itself too, that QEMU's user cannot pass."""
        way = [str(path) for path in (Path(location), *Path(location).parents)]
        text = self._read(location, "stat", "--format=%a %G %n", "--", *way)
        return [name for line in text.splitlines() if (name := _closed(*line.split(" ", 2)))]

    def why_no_disks(self, location: str) -> str:
        """Why no disks can be kept in a directory; "" where they can.

        QEMU reads and writes past the host's cache (O_DIRECT). Precondition: the directory is
        there. Effect: a file is written and deleted.
        """
        kind = self._read(location, "stat", "--file-system", "--format=%T", location).strip()
        if kind in IN_MEMORY:
            return f"{location} is in memory ({kind}): what is there does not survive a reboot."
        probe = f"{location}/{PROBE}"
        try:
            how = ("bs=4096", "count=1", "oflag=direct,nofollow", "status=none")
            self._read(location, "dd", "if=/dev/zero", f"of={probe}", *how)
        except CommandFailed as error:
            if NO_DIRECT in error.message:
                return f"the file system of {location} takes no direct I/O, which QEMU needs."
            return f"{location} cannot be written: {error.message}"
        finally:
            self._read(location, "rm", "--force", "--", probe)
        return ""

    def mark(self, location: str) -> str:
        """The id of the shared pool that a directory is marked with; "" where it has none."""
        try:
            text = self._read(location, "head", "--bytes=100", "--", f"{location}/{MARK}")
        except CommandFailed as error:
            if "No such file" in error.message:
                return ""
            raise
        return text.strip()

    def write_mark(self, location: str, id: str) -> None:
        """Mark a directory durably. Raises CommandFailed where it cannot be read."""
        self.volumes(location)
        files.write_atomically(Path(location) / MARK, f"{id}\n", 0o644)

    def remove_mark(self, location: str) -> None:
        """Harmless where there is none; a probe that the daemon's end left goes, too."""
        names = (f"{location}/{name}" for name in (MARK, LOCK))
        self._run("rm", "--force", "--", *names, timeout=READ)

    def lock_probe(self, location: str) -> AbstractContextManager[Hold]:
        """Make a file for this block, whose lock can be held as QEMU does. Raises CommandFailed."""
        return image_lock.probe(Path(location) / LOCK)

    def is_free(self, location: str, volume: str = LOCK) -> bool:
        """Take QEMU's lock of a file, and give it back; False where another QEMU has it.

        Raises CommandFailed where there is no such file, or no locks.
        """
        path = Path(location) / LOCK
        return image_lock.is_free(
            path if volume == LOCK else files.child(Path(location), volume), self._run
        )

    def make(self, location: str) -> None:
        """Make a directory that only root lists; harmless where it is there."""
        path = Path(location)
        if not path.is_dir():
            path.mkdir(parents=True)
            os.chmod(path, PASSABLE)  # whatever the umask is

    def _read(self, location: str, *command: str) -> str:
        """What a question to a directory's file system prints; CommandFailed in words."""
        try:
            return self._run(*command, timeout=READ)
        except CommandFailed as error:
            if "ran past" in error.message:
                raise CommandFailed(f"{location} does not answer.", HANGS) from error
            if command[0] in ("find", "realpath") and any(map(error.message.count, NOTHING)):
                raise CommandFailed(
                    f"There is no directory {location} on this host.", UNMOUNTED
                ) from error
            raise


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}.") from error
    try:
        yield fd
    finally:
        os.close(fd)


def _header(path: Path, fd: int) -> qcow2.Header:
    try:
        return qcow2.header(fd)
    except qcow2.NotQcow2 as error:
        raise CommandFailed(f"{path} cannot be read: {error}.") from error


def _closed(mode: str, group: str, name: str) -> str:
    """The name of a directory that QEMU's user cannot pass through; "" where it can."""
    bits = int(mode, 8)
    is_passable = bits & 0o001 or (bits & 0o010 and group in QEMU_GROUPS)
    return "" if is_passable else name
