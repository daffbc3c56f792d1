"""Files of VMs' disks in directories of this host."""

import os
from pathlib import Path

from mcv.document.disks import Format
from mcv.drivers import open_devices, qcow2
from mcv.drivers.open_devices import Holder
from mcv.errors import CommandFailed
from mcv.system import files
from mcv.system.process import Run, run

OURS = 0o600
PASSABLE = 0o711  # QEMU's user passes through to a file that libvirt gives it


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
        path = files.child(Path(location), volume)
        if path.exists():
            return
        if not Path(location).is_dir():
            raise CommandFailed(f"There is no directory {location} on this host.")
        draft = files.child(Path(location), f"{volume}.part")
        self._run("qemu-img", "create", "-q", "-f", format, str(draft), str(size))
        os.chmod(draft, OURS)
        os.rename(draft, path)
        files.sync_directory(path.parent)

    def remove(self, location: str, volume: str) -> None:
        """Delete a file, and the draft of a creation that was cut off."""
        files.remove(files.child(Path(location), volume))
        files.remove(files.child(Path(location), f"{volume}.part"))

    def exists(self, location: str, volume: str) -> bool:
        return files.child(Path(location), volume).is_file()

    def size(self, location: str, volume: str) -> int:
        """How large the guest sees a qcow2 file, in bytes.

        Errors: CommandFailed where there is no file, or where its bytes are not all in it.
        """
        path = files.child(Path(location), volume)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise CommandFailed(f"{path} cannot be read: {error.strerror}.") from error
        try:
            header = qcow2.header(fd)
        except qcow2.NotQcow2 as error:
            raise CommandFailed(f"{path} cannot be read: {error}.") from error
        finally:
            os.close(fd)
        if header.has_backing_file or header.has_data_file or header.is_encrypted:
            raise CommandFailed(f"{path} does not hold all of its bytes, or hides them.")
        return header.size

    def grow(self, location: str, volume: str, size: int) -> None:
        """Let a qcow2 file that nobody has open show its guest more bytes, which read as zeros.

        Harmless where it does. Errors: CommandFailed, for a smaller size too.
        """
        present = self.size(location, volume)
        if size < present:
            raise CommandFailed(f"{location}/{volume} has {present} bytes: it does not shrink.")
        if size > present:
            path = files.child(Path(location), volume)
            self._run("qemu-img", "resize", "-q", "-f", "qcow2", str(path), str(size))

    def holders(self, path: str) -> list[Holder]:
        """Which processes of this host have a file or a device open."""
        return open_devices.holders(self._root, path.lstrip("/"))

    def is_dir(self, location: str) -> bool:
        return Path(location).is_dir()

    def room(self, location: str) -> tuple[int, int]:
        """How large the file system of a directory is, and what is free of it, in bytes."""
        found = os.statvfs(location)
        return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize

    def allocated(self, location: str, volume: str) -> int:
        """What a file takes by now, in bytes; 0 where there is none."""
        try:
            return files.child(Path(location), volume).stat().st_blocks * 512
        except OSError:
            return 0

    def names(self, location: str) -> list[str]:
        return sorted(os.listdir(location))

    def is_same_file_system(self, location: str, other: Path) -> bool:
        return Path(location).stat().st_dev == other.stat().st_dev

    def make(self, location: str) -> None:
        """Make a directory that only root lists; harmless where it is there."""
        Path(location).mkdir(mode=PASSABLE, parents=True, exist_ok=True)
