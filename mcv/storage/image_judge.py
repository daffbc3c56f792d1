"""What the bytes of an image are: judged by its beginning, before QEMU reads it."""

import os
import stat
from typing import NamedTuple

from mcv.document.disks import Format
from mcv.drivers import qcow2, qemu_img
from mcv.errors import CommandFailed, Refused

FORMATS = ("raw", "qcow2")

ONLY_LOOKS = "If it is the disk of a guest and only looks like that: --image-format raw"

IF_RAW = "If it is the disk of a guest all the same: --image-format raw"
SECTOR = 512
SPACE = 32

# What qemu-img calls raw, and no guest could boot from.
COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
}

# Where a CD says what it is: the first descriptor of ISO 9660, or of UDF alone.
CD_AT = 32 * 1024 + 1
CD_MARKS = (b"CD001", b"BEA01")


class Judged(NamedTuple):
    """The format of an image, and how large the guest sees it."""

    format: Format
    size: int


def require_format(format: str | None) -> None:
    """Raise Refused for a format of which no image can be said to be."""
    if format is not None and format not in FORMATS:
        raise Refused(f"There is no image format {format}.", f"Formats: {', '.join(FORMATS)}.")


def compression(fd: int) -> str:
    """What an image is packed with, or ""; Refused where it is no regular file."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise Refused("The image is no regular file.")
    beginning = os.pread(fd, 6, 0)
    return next((name for magic, name in COMPRESSED.items() if beginning.startswith(magic)), "")


def is_cd(fd: int) -> bool:
    return os.pread(fd, len(CD_MARKS[0]), CD_AT) in CD_MARKS


def judge(fd: int, told: str | None, is_called_cd: bool = False) -> Judged:
    """The format and the size of an image, whose bytes are all in the file; else Refused.

    A file is judged by its first bytes, and QEMU does not read it. An image of which the
    operator tells that it is raw is raw, whatever it looks like.
    """
    status = os.fstat(fd)
    packed = compression(fd)
    if told == "raw":
        return Judged("raw", status.st_size)
    if packed:
        raise Refused(
            f"The image is compressed ({packed}); a guest could not read it.",
            "Unpack it first, for instance: gunzip, unxz, unzstd, bunzip2",
        )
    beginning = os.pread(fd, qcow2.BEGINNING, 0)
    if told == "qcow2" or qcow2.is_qcow2(beginning):
        return Judged("qcow2", whole_qcow2(fd).size)
    try:
        format_ = qemu_img.probed_format(beginning, status.st_size)
    except CommandFailed as error:
        raise Refused(f"The image cannot be read: {error}", ONLY_LOOKS) from error
    if format_ not in FORMATS:
        hint = f"It can be raw or qcow2; see: qemu-img convert. {ONLY_LOOKS}"
        raise Refused(f"The image is {format_}.", hint)
    if not (is_called_cd or is_cd(fd)):
        _require_a_disk(beginning, status.st_size)
    return Judged("raw", status.st_size)


def _require_a_disk(beginning: bytes, size: int) -> None:
    """Raise Refused for what is no disk for sure: a part of a sector, or a text.

    A disk without a boot sector, a table of partitions or a file system may hold anything.
    """
    what = ""
    if size % SECTOR:
        what = f"{size} bytes are no whole sectors of {SECTOR}"
    elif size and beginning[:SECTOR].isascii() and _is_text(beginning[:SECTOR]):
        what = "it begins as a text"
    if what:
        raise Refused(f"The image is no disk: {what}, and it is no qcow2.", IF_RAW)


def _is_text(beginning: bytes) -> bool:
    return all(byte >= SPACE or byte in b"\t\n\r\f" for byte in beginning)


def whole_qcow2(fd: int) -> qcow2.Header:
    """The header of an image whose bytes are all in the file and can be read; else Refused."""
    try:
        header = qcow2.header(fd)
    except qcow2.NotQcow2 as error:
        raise Refused(f"The image cannot be read: {error}.", ONLY_LOOKS) from error
    if header.is_encrypted:
        raise Refused(
            "The image is encrypted; mcv has no key to read it.",
            "Decrypt it first: qemu-img convert --object secret,… --image-opts … WHOLE",
        )
    if header.has_backing_file:
        raise Refused(
            "The image has a backing file, which is not taken along.",
            "Flatten it first: qemu-img convert -O qcow2 IMAGE WHOLE",
        )
    if header.has_data_file:
        raise Refused("The image keeps its data in another file, which is not taken along.")
    return header
