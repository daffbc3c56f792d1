"""Direct boot: a kernel and an initrd, kept as disks of their VM and handed to QEMU as files.

The disks are replicated, moved and deleted as the others are. QEMU reads an initrd from a file
alone, so each node writes the files out of the disks before the domain can begin there.
"""

import logging
import os
from pathlib import Path
from typing import Any

import msgspec

from mcv import storage
from mcv.document.disks import BOOT_ROLES, Role
from mcv.document.generation import Value
from mcv.document.model import MOST_APPEND, Cluster, Vm
from mcv.document.schema import older_member
from mcv.drivers import domain_devices
from mcv.drivers.directories import PASSABLE
from mcv.errors import McvError, Refused, in_words
from mcv.host import Host
from mcv.sizes import shown
from mcv.system import files
from mcv.vm import image as images

log = logging.getLogger(__name__)

BLOCK = 4096  # a disk is whole blocks: zeros behind a kernel or an initrd change neither
PIECE = 4 * 1024**2
MOST: dict[Role, int] = {"kernel": 256 * 1024**2, "initrd": 1024**3}
OPTIONS: dict[Role, str] = {"kernel": "--kernel", "initrd": "--initrd"}

BZIMAGE_AT, BZIMAGE = 0x202, b"HdrS"
ELF = b"\x7fELF"
# An archive of cpio's, as it is or packed by what a kernel unpacks.
ARCHIVES = (
    *(b"070701", b"070702", b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"BZh"),
    *(b"\x5d\0\0", b"\x89LZO", b"\x02\x21\x4c\x18"),
)


class BootFile(Value, frozen=True, kw_only=True):
    """A file that a node holds under a token, and its bytes."""

    node: str
    token: str
    size: int


class BootRequest(Value, frozen=True, kw_only=True):
    """What a new VM is to boot from directly: files that nodes hold, and the kernel's words."""

    kernel: BootFile | None = None
    initrd: BootFile | None = None
    append: str | None = None

    @property
    def files(self) -> dict[Role, BootFile]:
        both: dict[Role, BootFile | None] = {"kernel": self.kernel, "initrd": self.initrd}
        return {role: file for role, file in both.items() if file is not None}


NOTHING = BootRequest()


def asked(
    kernel: dict[str, Any] | None, initrd: dict[str, Any] | None, append: str | None
) -> BootRequest:
    """What an operator asks for. Errors: Refused for what `vm.take_image` does not answer."""
    try:
        return BootRequest(
            kernel=msgspec.convert(kernel, BootFile | None),
            initrd=msgspec.convert(initrd, BootFile | None),
            append=append,
        )
    except msgspec.ValidationError as error:
        raise Refused(f"The files of --kernel and --initrd are not held: {error}.") from error


def why_not(host: Host, cluster: Cluster, request: BootRequest) -> list[Refused]:
    """What forbids to boot a VM like that."""
    if request == NOTHING:
        return []
    found = []
    if cluster.schema < 3:
        found.append(older_member("--kernel cannot be written down"))
    if request.kernel is None:
        found.append(Refused("--initrd and --append go with --kernel.", "--kernel FILE"))
    words = request.append or ""
    if len(words.encode()) > MOST_APPEND or not (words.isprintable() and words.isascii()):
        found.append(Refused(f"--append has printable ASCII, at most {MOST_APPEND} of it."))
    return [*found, *(why for each in request.files.items() if (why := _why_no_file(host, *each)))]


def _why_no_file(host: Host, role: Role, file: BootFile) -> Refused | None:
    option, most = OPTIONS[role], MOST[role]
    if not 0 < file.size <= most:
        size = f"has {shown(file.size)}" if file.size else "is empty"
        return Refused(f"The file of {option} {size}.", f"It can have up to {shown(most)}.")
    try:
        beginning, _ = images.part(host, file.node, file.token, 0)
    except McvError as error:
        return Refused(f"The file of {option} is not there any more: {error.message}")
    if role == "initrd" and not beginning.startswith(ARCHIVES):
        return Refused(
            "The file of --initrd is no initrd.",
            "It is an archive of cpio's (newc), as it is or packed: gz, xz, zst, bz2, lzma, lz4.",
        )
    is_bzimage = beginning[BZIMAGE_AT:].startswith(BZIMAGE)
    if role == "kernel" and not (is_bzimage or beginning.startswith(ELF)):
        return Refused("The file of --kernel is no Linux kernel.", "See: file FILE")
    return None


def whole(size: int) -> int:
    """The size of the disk for a file."""
    return -(-size // BLOCK) * BLOCK


# On the node where the domain is to begin


def write_out(host: Host, vm: Vm) -> None:
    """Write the files that QEMU reads out of the disks, which are open here.

    A file that was cut off is written again by the next start. Errors: McvError.
    """
    for disk in vm.disks:
        if disk.role in BOOT_ROLES and not disk.leaving:
            source = storage.path(host.both()[-1], disk, host.name)
            target = Path(domain_devices.boot_file(vm.name, disk.role))
            write(source, disk.size, target)


def write(source: str, size: int, target: Path) -> None:
    draft = target.with_name(f"{target.name}.part")
    with in_words(target.parent):
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True)
            target.parent.chmod(PASSABLE)  # whatever the umask is
    with in_words(draft):
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as written, open(source, "rb") as read:
            while size > 0 and (data := read.read(min(PIECE, size))):
                written.write(data)
                size -= len(data)
    if size:
        raise McvError(f"{source} ended {size} bytes too early.")
    files.rename(draft, target)


def remove(name: str) -> None:
    """Delete the files of a VM that is not here any more. One that stays holds nothing up."""
    for role in BOOT_ROLES:
        target = Path(domain_devices.boot_file(name, role))
        try:
            files.remove(target)
            files.remove(target.with_name(f"{target.name}.part"))
        except McvError as error:
            log.warning("%s stays: %s", target, error)
