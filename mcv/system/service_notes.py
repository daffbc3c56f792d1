"""Notes of the services that run on this host, in /run/mcv/services: a file for each.

A note is there before anything of its service is, and goes when nothing is left. mcv-lease ends
what the notes name when this host has lost its lease; a boot begins without notes.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec

from mcv.system import files

log = logging.getLogger(__name__)

DIRECTORY = "services"
END = ".json"


class ServiceNote(msgspec.Struct, frozen=True, kw_only=True):
    """What a service is made of here: its address (IP/LEN), and its units in their order."""

    name: str
    address: str
    bridge: str
    units: tuple[str, ...] = ()


def write(run: Path, note: ServiceNote) -> None:
    """Raises SystemFailed where it cannot be written: then nothing may begin."""
    files.write_atomically(_path(run, note.name), msgspec.json.encode(note).decode())


def remove(run: Path, name: str) -> None:
    _path(run, name).unlink(missing_ok=True)


def exists(run: Path, name: str) -> bool:
    """Whether there is a note of a service, be it one that cannot be read."""
    return _path(run, name).exists()


def read(run: Path, name: str) -> ServiceNote | None:
    """The note of a service; None where there is none, and, told of, where it cannot be read."""
    return next(_read([_path(run, name)]), None)


def all_(run: Path) -> list[ServiceNote]:
    """Every note, by name; what is none is told of in the log."""
    return list(_read(sorted((run / DIRECTORY).glob(f"[!.]*{END}"))))


def _read(paths: list[Path]) -> Iterator[ServiceNote]:
    for path in paths:
        try:
            yield msgspec.json.decode(path.read_bytes(), type=ServiceNote)
        except FileNotFoundError:
            continue
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("the note %s cannot be read: %s", path, error)


def _path(run: Path, name: str) -> Path:
    return files.child(run / DIRECTORY, f"{name}{END}")
