"""A file or a download on its way to an image: a private copy is made, and the copy is judged."""

import contextlib
import os
from collections.abc import Generator

from msgspec import Struct

from mcv.document.disks import Format
from mcv.document.pools import ImageKind
from mcv.drivers import addresses, download, unpacking
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.storage import image_files, image_judge
from mcv.storage.image_draft import Draft
from mcv.system import files
from mcv.system.answers import ask_typed

CHUNK = 4 * 1024**2
ADDRESSES = 3.0  # s that a node has to tell its addresses


class Source(Struct, frozen=True, kw_only=True):
    """Where the bytes of an image come from: an open file of the caller, or a URL."""

    pid: int = 0
    fd: int | None = None
    url: str | None = None
    allow_private: bool = False


class Wanted(Struct, frozen=True, kw_only=True):
    """What an operator tells of an image: its digest, its kind and its format, or None."""

    sha256: str | None = None
    kind: ImageKind | None = None
    format: str | None = None


class Taken(Struct, frozen=True, kw_only=True):
    """A complete draft of an image, and what it is."""

    draft: str
    kind: ImageKind
    format: Format
    size: int
    bytes: int
    sha256: str
    given: str


def draft_name(host: Host, name: str) -> str:
    """The draft of an image that the job under way makes: no other job has its name."""
    return f"{name}.{host.job.id}{image_files.DRAFT}"


def take(host: Host, name: str, source: Source, wanted: Wanted) -> Taken:
    """Copy the bytes, unpack them, judge them; what was copied is gone after an error."""
    image_files.make_directory(host)
    draft = draft_name(host, name)
    try:
        return _taken(host, draft, source, wanted)
    except BaseException:
        drop(host, draft)
        raise


def drop(host: Host, draft: str) -> None:
    files.remove(image_files.place_of(host, draft))


def _taken(host: Host, draft: str, source: Source, wanted: Wanted) -> Taken:
    path = image_files.place_of(host, draft)
    with Draft.at(path, *image_files.room(host)) as copy:
        with contextlib.closing(_pieces(host, source, wanted, copy)) as pieces:
            for data in pieces:
                copy.write(data)
        given = copy.sha256
        if wanted.sha256 not in (None, given):
            raise Refused(f"The sha256 of the image is {given}, not {wanted.sha256}.")
        packed = image_judge.compression(copy.fd)
        if wanted.format == "raw" or packed not in unpacking.TOOLS:
            return _complete(draft, copy, given, wanted)
        # The packed bytes keep no name: what is left of them is the open file.
        path.unlink()
        with Draft.at(path, *image_files.room(host)) as whole:
            unpack(host, copy.fd, packed, whole)
            return _complete(draft, whole, given, wanted)


def unpack(host: Host, fd: int, packed: str, into: Draft) -> None:
    """Unpack a file into a draft. Raises Refused where it is damaged, or too large unpacked."""
    # Closed at once: what it runs is killed where the bytes are not wanted.
    with contextlib.closing(unpacking.unpacked(fd, packed)) as pieces:
        for data in pieces:
            into.write(data)
            host.job.progress("unpack the image", into.size, 0, "B")
            host.job.check_cancelled()


def _complete(draft: str, copy: Draft, given: str, wanted: Wanted) -> Taken:
    kind, judged = _judged(copy.fd, wanted)
    copy.sync()
    return Taken(
        draft=draft,
        kind=kind,
        format=judged.format,
        size=judged.size,
        bytes=copy.size,
        sha256=copy.sha256,
        given=given,
    )


def _judged(fd: int, wanted: Wanted) -> tuple[ImageKind, image_judge.Judged]:
    judged = image_judge.judge(fd, wanted.format, wanted.kind == "iso")
    kind = wanted.kind or ("iso" if judged.format == "raw" and image_judge.is_cd(fd) else "disk")
    if kind == "iso" and judged.format != "raw":
        raise Refused(f"The image is {judged.format}, and no CD.", "Leave out --kind iso.")
    if not judged.size:
        raise Refused("The image is empty.")
    return kind, judged


def _pieces(
    host: Host, source: Source, wanted: Wanted, copy: Draft
) -> Generator[bytes, None, None]:
    if source.fd is not None:
        return _of_file(host, source.pid, source.fd)
    if source.url is not None:
        return _of_url(host, source, wanted, copy)
    raise Refused("An image comes from a FILE or a URL.")


def _of_file(host: Host, pid: int, number: int) -> Generator[bytes, None, None]:
    """The bytes of an open file of the caller."""
    try:
        # A FIFO without a writer would hold the thread for ever.
        fd = os.open(f"/proc/{pid}/fd/{number}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise Refused(f"The image cannot be read: {error.strerror}.") from error
    try:
        image_judge.compression(fd)  # raises Refused for what is no regular file
        size, done = os.fstat(fd).st_size, 0
        while data := os.pread(fd, CHUNK, done):
            yield data
            done += len(data)
            host.job.progress("read the image", done, size, "B")
            host.job.check_cancelled()
    except OSError as error:
        raise McvError(f"The image cannot be read: {error.strerror}.") from error
    finally:
        os.close(fd)


def _of_url(
    host: Host, source: Source, wanted: Wanted, copy: Draft
) -> Generator[bytes, None, None]:
    """The bytes of a URL, fetched by this node."""
    judge = _anywhere if source.allow_private else _elsewhere(host)
    is_checked = wanted.sha256 is not None
    with download.opened(source.url or "", judge, is_checked) as fetched:
        copy.require_room(fetched.length or 0)
        for data in fetched.pieces():
            yield data
            host.job.progress("fetch the image", copy.size, fetched.length or 0, "B")
            host.job.check_cancelled()


def _anywhere(address: download.IP) -> str:
    return ""


def _elsewhere(host: Host) -> download.Judge:
    """A judge that knows the addresses of this cluster.

    A node that does not answer adds to them what the document tells of it.
    """
    members = host.read().nodes.values()
    known = {address for node in members for address in (node.ip_address, node.drbd_address)}
    answers = ask_typed(host.call, host.read().nodes, "node.own_addresses", ADDRESSES, list[str])
    for answer in answers.values():
        known |= set() if isinstance(answer, McvError) else set(answer)
    return lambda address: download.why_not(address, known)


def own_addresses(host: Host) -> list[str]:
    return addresses.own()
