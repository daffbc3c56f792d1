"""Files that are whole or not there: draft, fsync, rename, fsync of the directory."""

import contextlib
import os
from pathlib import Path

from mcv.errors import McvError, in_words


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

    Raises SystemFailed where it cannot be written, for want of room for instance: it is then as
    it was.
    """
    with in_words(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".{path.name}.draft")
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
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
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
    sync_directory(path.parent)


def read_or_none(path: Path) -> str | None:
    """A file's text, or None where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
