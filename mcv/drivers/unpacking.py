"""gzip, xz and zstd: files of others are unpacked by a process that may open nothing."""

import os
from collections.abc import Generator

from mcv.errors import CommandFailed, Refused
from mcv.system import process

NOBODY = 65534
PIECE = 1024**2
ADDRESS_SPACE = 2 * 1024**3  # bytes, against a file that makes its tool take all memory

# By what a file is packed with; the tools refuse what takes more memory to unpack.
TOOLS: dict[str, tuple[str, ...]] = {
    "gzip": ("gzip", "--decompress", "--stdout"),
    "xz": ("xz", "--decompress", "--stdout", "--format=xz", "--memlimit-decompress=512MiB"),
    "zstd": ("zstd", "--decompress", "--stdout", "--quiet", "--memory=512MB"),
}


def unpacked(fd: int, packed: str) -> Generator[bytes]:
    """What a packed file holds, piece by piece. Errors: Refused where it is cut off or damaged."""
    os.lseek(fd, 0, os.SEEK_SET)
    command = ("prlimit", f"--as={ADDRESS_SPACE}", *TOOLS[packed])
    try:
        with process.piped(*command, stdin=fd, user=NOBODY if os.geteuid() == 0 else None) as pipe:
            while data := pipe.read(PIECE):
                yield data
    except CommandFailed as error:
        raise Refused(f"The image cannot be unpacked: {error.message}", error.hint) from error
