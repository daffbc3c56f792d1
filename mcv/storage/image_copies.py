"""Copies of an image between nodes: in pieces, resumed where they were cut off, digests equal."""

import base64
import binascii
import contextlib
import os
import zlib
from pathlib import Path

from msgspec import Struct

from mcv.document.pools import Image, ImageState
from mcv.errors import McvError, NotUnderstood, Refused, in_words
from mcv.host import Host
from mcv.storage import image_files
from mcv.storage.image_draft import Draft
from mcv.system import files
from mcv.system.answers import decoded

PIECE = 4 * 1024**2
DIGEST = 900.0  # s that a node has to read the beginning of an image


class Part(Struct, frozen=True, kw_only=True):
    """A part of an image's file, packed and as text."""

    data: str


class Beginning(Struct, frozen=True, kw_only=True):
    """The digest of the first bytes of an image's file."""

    sha256: str


# What the node that has the image answers


def part(host: Host, name: str, offset: int) -> Part:
    """One part of an image; a run of zeros weighs nothing."""
    image = image_files.newest(host, name)
    file = image_files.file_name(name, image)
    if not image_files.looks_as_noted(host, file, image.sha256):
        raise image_files.why_not_use(host, name) or McvError(f"{file} was just looked at.")
    target = image_files.place_of(host, file)
    with in_words(target), target.open("rb") as opened:
        data = os.pread(opened.fileno(), PIECE, offset)
    return Part(data=base64.b64encode(zlib.compress(data, 1)).decode())


def beginning(host: Host, name: str, length: int) -> Beginning:
    return Beginning(sha256=image_files.digest(image_files.path(host, name), length=length))


def lengths(host: Host) -> dict[str, int]:
    """How much of each image that is not whole yet is here, in bytes."""
    found = {}
    for name, image in host.read().images.items():
        draft = _draft(host, name, image)
        with contextlib.suppress(OSError):
            found[name] = draft.stat().st_size
    return found


# What the node that gets it does


def copy(host: Host, name: str, source: str) -> None:
    """Make this node's copy of an image whole, then say in the document that it is ready.

    Harmless when it is whole already. Where the copy fails the document says why, and what
    has arrived is kept for the next attempt.
    """
    if host.read().image(name).nodes.get(host.name) != "syncing":
        _tell(host, name, "syncing")
    try:
        fetch(host, name, source)
    except McvError as error:
        with contextlib.suppress(McvError):  # whoever asked for the copy is told
            _tell(host, name, "failed", error.message)
        raise
    _tell(host, name, "ready")


def _tell(host: Host, name: str, state: ImageState, problem: str = "") -> None:
    why = f"image {name} on {host.name}: {state}"
    host.update_beside(
        "image.state", why, name=name, nodes=[host.name], state=state, problem=problem
    )


def fetch(host: Host, name: str, source: str) -> None:
    """Have an image whole on this node; raises McvError, what has arrived is kept."""
    image = image_files.newest(host, name)
    file = image_files.file_name(name, image)
    target = image_files.place_of(host, file)
    if target.is_file():
        if image_files.why_not_use(host, name) is None:
            return
        image_files.set_aside(host, file)
        image_files.discard(host, file)
    if source == host.name:
        raise Refused(f"{host.name} has no whole copy of {name}.", f"mcv image delete {name}")
    image_files.make_directory(host)
    draft = _draft(host, name, image)
    with Draft.at(draft, *image_files.room(host)) as copied:
        _resume(host, name, source, copied)
        while copied.size < image.bytes:
            copied.write(_part_of(host, source, name, copied.size))
            host.job.progress(f"image {name}", copied.size, image.bytes, "B")
        copied.sync()
        arrived = copied.sha256
    if arrived != image.sha256:
        files.remove(draft)
        raise McvError(f"What came from {source} is not the image {name}: its sha256 is {arrived}.")
    image_files.put(host, draft, file, image.sha256)


def _resume(host: Host, name: str, source: str, copied: Draft) -> None:
    """Go on behind what an earlier copy brought, if that is how the image begins."""
    there = os.fstat(copied.fd).st_size
    if not there:
        return
    copied.resume(there, lambda: host.job.progress(f"image {name} goes on"))
    answer = host.call(source, "image.beginning", name=name, length=there, timeout=DIGEST)
    if decoded(source, "image.beginning", answer, Beginning).sha256 != copied.sha256:
        copied.begin()


def _part_of(host: Host, source: str, name: str, offset: int) -> bytes:
    """The part of an image at an offset, as another node has it."""
    answer = host.call(source, "image.part", name=name, offset=offset)
    packed = decoded(source, "image.part", answer, Part).data
    try:
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(base64.b64decode(packed, validate=True), PIECE)
    except (ValueError, binascii.Error, zlib.error) as error:
        raise NotUnderstood(f"{source} sent no part of an image: {error}.") from error
    if not data:
        raise McvError(f"The image {name} ended on {source} after {offset} bytes.")
    return data


def _draft(host: Host, name: str, image: Image) -> Path:
    file = image_files.file_name(name, image)
    return image_files.place_of(host, file + image_files.DRAFT)
