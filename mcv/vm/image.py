"""Images: what an operator's file holds, and its bytes on their way to a disk.

The file was opened by `mcv` with the rights of its user; the daemon takes the open
descriptor over from the caller's /proc entry and opens no path that an operator names.
"""

import base64
import os
import secrets
import tempfile
import threading
import zlib
from dataclasses import replace

from msgspec import Struct

from mcv.document.disks import Format
from mcv.drivers import qcow2, qemu_img, unpacking
from mcv.errors import McvError, NotFound, NotUnderstood, Refused
from mcv.host import Host
from mcv.sizes import shown
from mcv.storage import image_intake, image_judge
from mcv.storage.image_draft import Draft
from mcv.system.answers import decoded
from mcv.system.held_file import HeldFile
from mcv.vm import image_use

CHUNK = 4 * 1024**2
UNCLAIMED = 120.0  # s that an image is held for a creation to ask for it
KEPT_FREE = 64 * 1024**2  # bytes of the state directory that no image takes
CLAIMED = 24 * 3600.0  # s that it is held for that creation


class TakenImage(Struct, frozen=True, kw_only=True):
    """An image that a node holds open: its token there, and its size as raw bytes."""

    node: str
    token: str
    size: int


class Chunk(Struct, frozen=True, kw_only=True):
    """A part of an image, compressed and as text, and the size of the whole in bytes."""

    data: str
    size: int


def take(host: Host, pid: int, fd: int, format: str | None = None) -> TakenImage:
    """Take over an open file of the caller, judge it, and hold its raw bytes ready.

    A file that QEMU interprets is copied first: its owner could rewrite it between the
    judgement and the conversion, and have another file of the host read. A packed file (gz, xz,
    zst) is unpacked. A file whose format the operator calls raw is taken as it is, whatever it
    looks like. Raises Refused for what is no regular file, is damaged or encrypted, has a
    backing or a data file, or is neither raw nor qcow2; Cancelled when it is not wanted any
    more: whoever asked for it waits for it.
    """
    image_judge.require_format(format)
    with host.job.may_be_cancelled():
        own, size = _taken(host, pid, fd, format)
    return TakenImage(node=host.name, token=hold(host, HeldFile(own, size)), size=size)


def hold(host: Host, file: HeldFile) -> str:
    """Hold an open file until a creation asks for it, or for a while; its token."""
    token = secrets.token_hex(8)
    _hold_for(host, token, file, UNCLAIMED)
    return token


def keep(host: Host, token: str) -> None:
    """Hold an image for the creation that has asked for it: making its disks may last."""
    image = host.images.get(token)
    if image is not None:
        _hold_for(host, token, replace(image, is_claimed=True), CLAIMED)


def _hold_for(host: Host, token: str, file: HeldFile, seconds: float) -> None:
    timer = threading.Timer(seconds, _drop_unless_kept, (host, token, seconds))
    timer.daemon = True
    if file.limit is not None:
        file.limit.cancel()
    host.images[token] = replace(file, limit=timer)
    timer.start()


def _drop_unless_kept(host: Host, token: str, seconds: float) -> None:
    image = host.images.get(token)
    if image is not None and (seconds == CLAIMED or not image.is_claimed):
        drop(host, token)


def _taken(host: Host, pid: int, fd: int, format: str | None) -> tuple[int, int]:
    """A descriptor of the raw bytes, and their size."""
    try:
        # A FIFO without a writer would hold the thread for ever.
        own = os.open(f"/proc/{pid}/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise Refused(f"The image cannot be read: {error.strerror}.") from error
    try:
        packed = "" if format == "raw" else image_judge.compression(own)
        if packed in unpacking.TOOLS:
            own, old = _unpacked(host, own, packed), own
            os.close(old)
        size, is_raw = _judge(own, format)
        if not is_raw:
            if packed not in unpacking.TOOLS:
                own, old = _copied(host, own), own
                os.close(old)
                size, _ = _judge(own, "qcow2")
            own, old = _as_raw(host, own), own
            os.close(old)
    except BaseException:
        os.close(own)
        raise
    return own, size


def _judge(fd: int, told: str | None) -> tuple[int, bool]:
    """How large the guest's bytes are, and whether the file holds just those."""
    judged = image_judge.judge(fd, told)
    return judged.size, judged.format == "raw"


def _require_room(host: Host, size: int, what: str) -> None:
    """Raises Refused where the state directory has no room, some for mcvd itself left over."""
    room = os.statvfs(host.settings.state)
    free = room.f_bavail * room.f_frsize - KEPT_FREE
    if size > free:
        raise Refused(
            f"{what} takes {shown(size)} in {host.settings.state}, "
            f"which has {shown(max(0, free))} to spare.",
            "Make room there, or unpack the image elsewhere and name it as raw.",
        )


def _nameless(host: Host) -> int:
    """A new file in the state directory, gone with its descriptor."""
    # Not O_TMPFILE, which some file systems (overlays among them) do not have.
    fd, path = tempfile.mkstemp(dir=host.settings.state, prefix="image-")
    os.unlink(path)
    return fd


def _unpacked(host: Host, fd: int, packed: str) -> int:
    """What a packed file holds, in a file that nobody else has open."""
    found = os.statvfs(host.settings.state)
    room = max(0, found.f_bavail * found.f_frsize - KEPT_FREE)
    own = _nameless(host)
    try:
        draft = Draft(own, host.settings.state, room, found.f_blocks * found.f_frsize)
        image_intake.unpack(host, fd, packed, draft)
    except BaseException:
        os.close(own)
        raise
    return own


def _copied(host: Host, fd: int) -> int:
    """The same bytes, holes left out, in a file that nobody else has open."""
    _require_room(host, min(os.fstat(fd).st_size, os.fstat(fd).st_blocks * 512), "Its copy")
    copy = _nameless(host)
    try:
        size, offset = os.fstat(fd).st_size, 0
        os.ftruncate(copy, size)
        while offset < size and (data := os.pread(fd, CHUNK, offset)):
            if data.count(0) < len(data):
                os.pwrite(copy, data, offset)
            offset += len(data)
            host.job.progress("read the image", offset, size, "B")
            host.job.check_cancelled()
    except OSError as error:
        os.close(copy)
        raise McvError(f"The image cannot be copied: {error.strerror}.") from error
    except BaseException:
        os.close(copy)
        raise
    return copy


def _as_raw(host: Host, fd: int) -> int:
    """The guest's bytes as a sparse raw file without a name."""
    header = image_judge.whole_qcow2(fd)
    try:
        needed = qcow2.unpacked(fd, header, host.job.check_cancelled)
    except qcow2.NotQcow2 as error:
        raise Refused(f"The image cannot be read: {error}.") from error
    _require_room(host, needed, "The unpacked image")
    raw = _nameless(host)
    try:
        qemu_img.convert(fd, raw, header.size, host.job.check_cancelled)
    except BaseException:
        os.close(raw)
        raise
    return raw


def drop(host: Host, token: str) -> None:
    """Let an image go; harmless when it is gone."""
    image = host.images.pop(token, None)
    if image is not None:
        image.close()


def _held(host: Host, token: str) -> HeldFile:
    """The image that this node holds open under a token; NotFound where it was dropped."""
    image = host.images.get(token)
    if image is None:
        raise NotFound("The image is not held open any more.", "Create the VM again.")
    return image


def read(host: Host, token: str, offset: int) -> Chunk:
    """One chunk of an image held here, packed: a run of zeros weighs nothing."""
    image = _held(host, token)
    data = image.read(offset, CHUNK)
    return Chunk(data=base64.b85encode(zlib.compress(data, 1)).decode(), size=image.size)


def part(host: Host, source: str, token: str, offset: int) -> tuple[bytes, int]:
    """One chunk of an image that a node holds, and the size of the whole."""
    if source == host.name:
        image = _held(host, token)
        return image.read(offset, CHUNK), image.size
    answer = host.call(source, "image.read", token=token, offset=offset)
    chunk = decoded(source, "image.read", answer, Chunk)
    try:
        return zlib.decompress(base64.b85decode(chunk.data)), chunk.size
    except (ValueError, zlib.error) as error:
        raise NotUnderstood(f"{source} sent no part of an image: {error}.") from error


def fill(host: Host, source: str, token: str, path: str, format: Format) -> None:
    """Write an image, held open on the node source, into a disk of this node, durably.

    An image of the cluster's is named by its token, and read here.
    """
    if image_use.is_named(token):
        image_use.fill(host, token, path, format)
    elif format == "raw":
        _into_device(host, source, token, path)
    elif source == host.name:
        _into_file(host, _held(host, token).fd, path, format)
    else:
        # What writes QEMU's formats takes no stream: the bytes are gathered first.
        fd = _nameless(host)
        try:
            _gather(host, source, token, fd)
            _into_file(host, fd, path, format)
        finally:
            os.close(fd)


def _into_file(host: Host, fd: int, path: str, format: Format) -> None:
    qemu_img.convert_into(fd, path, format, host.job.check_cancelled)


def _into_device(host: Host, source: str, token: str, device: str) -> None:
    fd = os.open(device, os.O_WRONLY | os.O_CLOEXEC)
    try:
        _gather(host, source, token, fd)
    except OSError as error:
        raise McvError(f"Writing {device} failed: {error.strerror}.") from error
    finally:
        os.close(fd)


def _gather(host: Host, source: str, token: str, fd: int) -> None:
    """Write the bytes of an image, held open on the node source, to an open file, durably."""
    offset, size = 0, 1
    while offset < size:
        data, size = part(host, source, token, offset)
        if not data:
            raise McvError(f"The image ended after {offset} of {size} bytes: was it changed?")
        os.pwrite(fd, data, offset)
        offset += len(data)
        host.job.progress("image", offset, size, "B")
    os.fsync(fd)
