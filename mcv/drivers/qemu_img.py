"""qemu-img on files of others: it opens what it was handed, as a user who may open nothing else."""

import json
import os
import tempfile
from collections.abc import Callable

from mcv.document.disks import Format
from mcv.errors import CommandFailed
from mcv.system import process

NOBODY = 65534
HOURS = 6 * 3600.0
ADDRESS_SPACE = 4 * 1024**3  # bytes, against an image that makes qemu-img take all memory


def probed_format(beginning: bytes, size: int) -> str:
    """The format that a file of a size looks like by its beginning; "raw" where like none.

    qemu-img sees a file with this beginning and nothing behind it: formats that name other
    files name them there in vain. Errors: CommandFailed.
    """
    with tempfile.TemporaryFile() as head:
        head.write(beginning)
        head.truncate(max(size, len(beginning)))
        head.flush()
        text = _run(("info", "--output=json", _path(head.fileno())), (head.fileno(),))
    try:
        return str(json.loads(text)["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise CommandFailed("qemu-img told no format.") from error


def convert(source: int, target: int, size: int, watch: Callable[[], None] = lambda: None) -> None:
    """Write the guest's bytes of a qcow2 image as a sparse raw file.

    Precondition: both files are mcv's own and nobody else has them open; they change their
    owner. Errors: CommandFailed, and what `watch` raises.
    """
    words = ("convert", "-O", "raw", _qcow2(source), _path(target))
    _run(words, (source, target), HOURS, watch, f"--fsize={size + 1024**2}")


def convert_into(
    source: int,
    target: str,
    format: Format,
    watch: Callable[[], None] = lambda: None,
    source_format: Format = "raw",
) -> None:
    """Write an image into an empty disk that is there, larger or as large, durably.

    Precondition: the disk reads as zeros and nobody has it open; a qcow2 image is mcv's own and
    was judged. Errors: CommandFailed, and what `watch` raises.
    """
    image = ("-f", "raw", _path(source)) if source_format == "raw" else (_qcow2(source),)
    process.run(
        *("qemu-img", "convert", "-n", "--target-is-zero", "-t", "none"),
        *("-O", format, *image, target),
        pass_fds=(source,),
        timeout=HOURS,
        watch=watch,
    )
    # The cache mode tells QEMU to go past the page cache, not the disk's own cache.
    fd = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _qcow2(fd: int) -> str:
    """An image as qemu-img is to open it: as qcow2, and nothing that it names."""
    file = {"driver": "file", "filename": _path(fd)}
    return f"json:{json.dumps({'driver': 'qcow2', 'backing': None, 'file': file})}"


def _run(
    words: tuple[str, ...],
    fds: tuple[int, ...],
    timeout: float = 60.0,
    watch: Callable[[], None] | None = None,
    *limits: str,
) -> str:
    """Run qemu-img as nobody, who gets the handed files and no other."""
    is_root = os.geteuid() == 0
    if is_root:
        for fd in fds:
            os.fchown(fd, NOBODY, NOBODY)
    return process.run(
        *("prlimit", f"--as={ADDRESS_SPACE}", *limits, "qemu-img", *words),
        pass_fds=fds,
        timeout=timeout,
        watch=watch,
        user=NOBODY if is_root else None,
    )


def _path(fd: int) -> str:
    return f"/proc/self/fd/{fd}"
