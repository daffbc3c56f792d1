"""Files that are whole or not there: draft, fsync, rename, fsync of the directory."""

import contextlib
import logging
import os
import stat
from pathlib import Path
from typing import TypeVar

import msgspec

from mcv.errors import McvError, Unreadable, in_words

log = logging.getLogger(__name__)

LARGEST = 64 * 1024**2  # bytes of a file that is read at all

T = TypeVar("T")


def child(directory: Path, name: str) -> Path:
    """The path of a file in a directory; McvError for a name that is hidden, or itself a path.

    Names come from other nodes too, and none of them leads out of the directory.
    """
    if not name or name.startswith(".") or not name.isprintable() or "/" in name:
        raise McvError(f"{name!r} is no name for a file of mcv's.")
    return directory / name


def sync_directory(directory: Path) -> None:
    """Make renames and removals in a directory durable."""
    with in_words(directory):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def make_durable(directory: Path) -> None:
    """Sync what an earlier process did in a directory, if the directory exists.

    A process killed between a rename and its sync leaves a file that is read as
    written, and that a crash of the host may still take away.
    """
    if directory.is_dir():
        sync_directory(directory)


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file durably: after a crash it holds the old text or the new, never a part.

    What lies there and is no file, a link for instance, is put aside. Raises SystemFailed
    where the file cannot be written, for want of room for instance: it is then as it was.
    """
    with in_words(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".{path.name}.draft")
        for place in (draft, path):
            if _is_there(place) and not stat.S_ISREG(place.lstat().st_mode):
                set_aside(place, f"{place} is no file.")
        try:
            _write_draft(draft, text, mode)
            os.rename(draft, path)
        except BaseException:
            # A disk without room gets back what the draft has taken.
            with contextlib.suppress(OSError):
                draft.unlink()
            raise
        sync_directory(path.parent)


def _write_draft(draft: Path, text: str, mode: int) -> None:
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    try:
        os.fchmod(fd, mode)
        with os.fdopen(fd, "w", encoding="utf-8", closefd=False) as file:
            file.write(text)
        os.fsync(fd)
    finally:
        os.close(fd)


def rename(source: Path, target: Path) -> None:
    """Rename durably within one directory or between two of the same file system."""
    with in_words(target):
        os.rename(source, target)
    sync_directory(target.parent)
    if source.parent != target.parent:
        sync_directory(source.parent)


def remove(path: Path) -> None:
    """Take a file away durably; harmless when it is not there."""
    with in_words(path):
        try:
            path.unlink()
        except FileNotFoundError:
            return
        except (IsADirectoryError, PermissionError):
            set_aside(path, f"{path} cannot be removed: it is no file.")
            return
    sync_directory(path.parent)


def read_or_none(path: Path) -> str | None:
    """A file's text, or None where there is none.

    Raises Unreadable for what is no file of root's with text: a link, a pipe, a directory, a
    file of another user, other bytes than UTF-8. None of them is waited for.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {_why_closed(path, error)}.") from error
    try:
        if problem := _problem(os.fstat(fd)):
            raise Unreadable(f"{path} cannot be read: {problem}.")
        with os.fdopen(fd, "rb", closefd=False) as file:
            return file.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path} cannot be read: byte {error.start} is no UTF-8.") from error
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}.") from error
    finally:
        os.close(fd)


def _why_closed(path: Path, error: OSError) -> str:
    return "it is a link" if path.is_symlink() else str(error.strerror)


def _problem(status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode):
        return "it is no file"
    if status.st_uid not in (0, os.geteuid()):
        return f"it belongs to the user {status.st_uid}"
    return f"it has {status.st_size} bytes" if status.st_size > LARGEST else ""


def read_as(path: Path, shape: type[T]) -> T | None:
    """A file's JSON as a value of this shape, or None where there is no file.

    Raises Unreadable where the file, or what it holds, is of another form.
    """
    text = read_or_none(path)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=shape)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Unreadable(f"{path} cannot be read: {error}.") from error


def read_or_set_aside(path: Path, shape: type[T]) -> T | None:
    """As `read_as`, for a file that mcv can do without: an unreadable one is put aside."""
    try:
        return read_as(path, shape)
    except Unreadable as error:
        set_aside(path, error.message)
        return None


def set_aside(path: Path, why: str) -> Path:
    """Rename what lies at a path to NAME.unreadable-N, and log it; nothing is deleted."""
    number = 1
    while _is_there(aside := path.with_name(f"{path.name}.unreadable-{number}")):
        number += 1
    rename(path, aside)
    log.error("%s It is kept as %s.", why, aside.name)
    return aside


def _is_there(path: Path) -> bool:
    """Whether anything lies at a path, be it a link that leads nowhere."""
    return os.path.lexists(path)
