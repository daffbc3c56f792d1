"""Files of images on this node: where they lie, and whether they are what they were.

A file is complete from the moment on that it has its name; a draft ends in `.part`, a file that
is being taken away in `.gone`. A note in the state directory says how a file looked when its
digest was known, so that a file which was changed behind mcv's back is noticed before it is used.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from mcv.document.pools import DEFAULT, DEFAULT_LOCATION, Image
from mcv.drivers.directories import PASSABLE
from mcv.errors import Busy, McvError, Refused, in_words
from mcv.host import Host
from mcv.storage import rooms
from mcv.system import files
from mcv.transaction.journal import encode

READABLE = 0o400  # libvirt gives the file of a CD to QEMU's user, and this mode with it
DRAFT, GONE = ".part", ".gone"
PIECE = 4 * 1024**2


class Note(Struct, frozen=True, kw_only=True):
    """How a file looked when its digest was known: length, time of change, digest."""

    size: int
    changed: int  # ns
    sha256: str


def file_name(name: str, image: Image) -> str:
    """The name of an image's file, the same on each node."""
    return f"{name}-{image.sha256[:8]}.{'iso' if image.kind == 'iso' else image.format}"


def place_of(host: Host, file: str) -> Path:
    return files.child(host.settings.images, file)


def newest(host: Host, name: str) -> Image:
    """The image, by the proposal where there is one."""
    return host.both()[-1].image(name)


def path(host: Host, name: str) -> Path:
    """The file of an image on this node."""
    return place_of(host, file_name(name, newest(host, name)))


def make_directory(host: Host) -> None:
    """Make the directory of images; harmless where it is there."""
    directory = host.settings.images
    with in_words(directory):
        if not directory.is_dir():
            directory.mkdir(parents=True)
            directory.chmod(PASSABLE)  # whatever the umask is


def put(host: Host, draft: Path, file: str, sha256: str) -> None:
    """Give a complete draft its name and write its note; harmless when it is done already."""
    target = place_of(host, file)
    if draft.exists():
        with in_words(draft):
            os.chmod(draft, READABLE)
        files.rename(draft, target)
    _write_note(host, file, sha256)


def discard(host: Host, file: str) -> None:
    """Take a file of an image away, with its draft and its note."""
    for ending in ("", DRAFT, GONE):
        files.remove(place_of(host, file + ending))
    files.remove(_note_path(host, file))


def set_aside(host: Host, file: str) -> None:
    """Take the name from a file that is to go; Busy while anything has it open."""
    target = place_of(host, file)
    if not target.exists():
        return
    if holders := host.directories.holders(str(target)):
        by = ", ".join(sorted({str(holder) for holder in holders}))
        raise Busy(f"{target} on {host.name} is in use: {by}.")
    files.rename(target, place_of(host, file + GONE))


def bring_back(host: Host, file: str) -> None:
    """The way back of `set_aside`."""
    gone = place_of(host, file + GONE)
    if gone.exists():
        files.rename(gone, place_of(host, file))


def digest(file: Path, watch: Callable[[int], None] = lambda done: None, length: int = -1) -> str:
    """The sha256 of a file, or of its first `length` bytes."""
    with in_words(file), file.open("rb") as opened:
        sha, done = hashlib.sha256(), 0
        while length < 0 or done < length:
            data = opened.read(PIECE if length < 0 else min(PIECE, length - done))
            if not data:
                break
            sha.update(data)
            done += len(data)
            watch(done)
        return sha.hexdigest()


def why_not_use(host: Host, name: str) -> Refused | None:
    """What forbids to read an image here: it is not here, or not what it was.

    The digest is taken again where length or time of change are other than noted.
    """
    image = newest(host, name)
    file = file_name(name, image)
    target = place_of(host, file)
    again = f"mcv image sync {name} --on {host.name}"
    if not target.is_file():
        return Refused(f"{host.name} does not have the image {name} ({target}).", again)
    if looks_as_noted(host, file, image.sha256):
        return None
    if digest(target) != image.sha256:
        return Refused(
            f"{target} on {host.name} was changed: it is not the image {name} any more.", again
        )
    _write_note(host, file, image.sha256)
    return None


def looks_as_noted(host: Host, file: str, sha256: str) -> bool:
    """Whether length and time of change are those that were noted with this digest."""
    with in_words(host.settings.images):
        status = place_of(host, file).stat()
    seen = Note(size=status.st_size, changed=status.st_mtime_ns, sha256=sha256)
    return files.read_or_set_aside(_note_path(host, file), Note) == seen


def forget_note(host: Host, file: str) -> None:
    files.remove(_note_path(host, file))


class ImageSeen(Struct, frozen=True, kw_only=True):
    """A file in the directory of images; `is_as_noted`: as it was when its digest was known."""

    size: int
    is_as_noted: bool


def seen(host: Host) -> tuple[dict[str, ImageSeen], str]:
    """The files of images on this node, and why they cannot be looked at, or ""."""
    images = host.read().images
    digests = {file_name(name, image): image.sha256 for name, image in images.items()}
    found = {}
    try:
        for path in sorted(host.settings.images.iterdir()):
            noted = path.name in digests and looks_as_noted(host, path.name, digests[path.name])
            found[path.name] = ImageSeen(size=path.lstat().st_size, is_as_noted=noted)
    except FileNotFoundError:
        return found, ""
    except (OSError, McvError) as error:
        return found, str(error)
    return found, ""


def clean(host: Host) -> list[str]:
    """Delete what operations that are over left here: drafts, and files that were to go.

    Precondition: the daemon starts, so that no operation is at work. A draft that a plan names,
    and a copy that can be gone on with, stay; a file that was taken out of use by a plan that
    did not come to its end has been brought back by then. Returns what was deleted.
    """
    directory = host.settings.images
    entries = host.journal.entries()
    if not directory.is_dir() or host.journal.unreadable():
        return []
    plans = "\n".join(encode(entry) for entry in entries)
    names = host.both()[-1].images
    known = {
        file_name(name, image): name for name, image in names.items() if host.name in image.nodes
    }
    deleted = []
    for path in sorted(directory.iterdir()):
        file = path.name.removesuffix(DRAFT).removesuffix(GONE)
        is_left = path.name.endswith((DRAFT, GONE)) and path.name not in plans
        image = known.get(file)
        if not is_left or (image and (path.name.endswith(DRAFT) or f'"{image}"' in plans)):
            continue
        if image and not (directory / file).exists():
            files.rename(path, directory / file)
            continue
        files.remove(path)
        deleted.append(path.name)
    return deleted


@contextlib.contextmanager
def opened(host: Host, name: str) -> Iterator[int]:
    """Hold the file of an image open; raises Refused where it is not what it was."""
    if problem := why_not_use(host, name):
        raise problem
    target = path(host, name)
    with in_words(target):
        fd = os.open(target, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        yield fd
    finally:
        os.close(fd)


def room(host: Host) -> tuple[int, int]:
    """What the directory of images may take yet, and how large its file system is, in bytes.

    Beside the default pool it leaves free what that pool's disks were promised.
    """
    where = host.settings.images
    size, free = host.directories.room(str(where))
    with contextlib.suppress(McvError):  # a pool that is not there speaks for nothing
        view = host.directories.view(DEFAULT_LOCATION)
        if view.device == host.directories.device_of(where):
            beside = [
                disk
                for _, disk in host.read().disks()
                if disk.pool == DEFAULT and host.name in disk.places
            ]
            pool = rooms.of_directory(host, "dir", DEFAULT_LOCATION, beside)
            free = max(0, pool.free - pool.spoken_for)
    return free, size


def _note_path(host: Host, file: str) -> Path:
    return files.child(host.settings.state / "images", f"{file}.json")


def _write_note(host: Host, file: str, sha256: str) -> None:
    target = place_of(host, file)
    try:
        status = target.stat()
    except OSError as error:
        raise McvError(f"{target} is not there: {error.strerror}.") from error
    note = Note(size=status.st_size, changed=status.st_mtime_ns, sha256=sha256)
    files.write_atomically(_note_path(host, file), msgspec.json.encode(note).decode())
