"""A qcow2 image's header and tables, read without QEMU, which opens what an image names."""

import os
import struct
from collections.abc import Callable

from mcv.document.generation import Value

MAGIC = b"QFI\xfb"
BEGINNING = 64 * 1024  # bytes in which the header and its extensions stand

# Version, backing file, its length, cluster bits, size, encryption, L1 entries, L1 table.
COMMON = struct.Struct(">4sIQIIQIIQ")
# Of version 3, at 72: incompatible, compatible and autoclear features, refcounts, header length.
VERSION_3 = struct.Struct(">QQQII")
VERSION_3_AT = 72

DATA_FILE, EXTENDED_L2 = 1 << 2, 1 << 4
# Dirty, corrupt, data file, compression type, extended L2: what qemu-img reads today.
KNOWN_FEATURES = 0b11111
DATA_FILE_NAME = 0x44415441  # the extension that names a data file

OFFSET = 0x00FFFFFFFFFFFE00  # of a table or a cluster, in an entry
COMPRESSED = 1 << 62
READS_AS_ZERO = 1
MOST_TABLE = 32 * 1024**2  # bytes of an L1 table; QEMU takes no larger one


class NotQcow2(Exception):
    """The file is no qcow2 image that this mcv understands; the message says why."""


class Header(Value, frozen=True, kw_only=True):
    """What an image is, and whether its bytes are all in the file."""

    size: int  # bytes of the guest's disk
    cluster: int  # bytes
    has_backing_file: bool
    has_data_file: bool
    is_encrypted: bool
    extended_l2: bool
    l1_entries: int
    l1_offset: int


def is_qcow2(beginning: bytes) -> bool:
    """Whether a file begins as an image of version 2 or later."""
    return beginning[:4] == MAGIC and int.from_bytes(beginning[4:8], "big") >= 2


def header(fd: int) -> Header:
    """Read an image's header. Errors: NotQcow2."""
    beginning = os.pread(fd, BEGINNING, 0)
    if not is_qcow2(beginning) or len(beginning) < VERSION_3_AT + VERSION_3.size:
        raise NotQcow2("it is no qcow2 image")
    _, version, backing, _, bits, size, crypt, entries, offset = COMMON.unpack_from(beginning)
    features, length = 0, VERSION_3_AT
    if version >= 3:
        features, _, _, _, length = VERSION_3.unpack_from(beginning, VERSION_3_AT)
    if version > 3 or features & ~KNOWN_FEATURES or not 9 <= bits <= 21:
        raise NotQcow2("it is of a version that mcv does not know")
    return Header(
        size=size,
        cluster=1 << bits,
        has_backing_file=backing != 0,
        has_data_file=bool(features & DATA_FILE) or _names_data_file(beginning, length),
        is_encrypted=crypt != 0,
        extended_l2=bool(features & EXTENDED_L2),
        l1_entries=entries,
        l1_offset=offset,
    )


def _names_data_file(beginning: bytes, at: int) -> bool:
    """Whether one of the header's extensions names a file with the data."""
    while at + 8 <= len(beginning):
        kind, length = struct.unpack_from(">II", beginning, at)
        if kind == 0:
            return False
        if kind == DATA_FILE_NAME:
            return True
        at += 8 + (length + 7) // 8 * 8
    return False


def unpacked(fd: int, image: Header, watch: Callable[[], None] = lambda: None) -> int:
    """The bytes that the guest's disk takes as a sparse file, at most. Errors: NotQcow2."""
    width = 16 if image.extended_l2 else 8
    covered = image.cluster // width * image.cluster  # bytes of the disk behind an L1 entry
    needed = -(-image.size // covered)
    if needed > image.l1_entries or needed * 8 > MOST_TABLE:
        raise NotQcow2("its tables do not fit its size")
    clusters, counted = 0, dict[int, int]()
    for entry in _numbers(fd, image.l1_offset, needed * 8):
        table = entry & OFFSET
        if table and table not in counted:
            watch()
            counted[table] = _clusters(fd, table, image, width)
        clusters += counted.get(table, 0)
    return min(clusters * image.cluster, image.size)


def _clusters(fd: int, table: int, image: Header, width: int) -> int:
    """How many clusters of an L2 table hold data."""
    entries = _numbers(fd, table, image.cluster)[:: width // 8]
    return sum(
        1
        for entry in entries
        if entry & COMPRESSED
        or (entry & OFFSET and (image.extended_l2 or not entry & READS_AS_ZERO))
    )


def _numbers(fd: int, offset: int, size: int) -> tuple[int, ...]:
    data = os.pread(fd, size, offset)
    if len(data) != size:
        raise NotQcow2("it ends before its tables do")
    return struct.unpack(f">{size // 8}Q", data)
