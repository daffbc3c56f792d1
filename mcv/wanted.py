"""What an operator wants of what high availability manages: in the document before it is done.

Without a majority a stop goes on all the same. It leaves a note on its node, which is written into
the document as soon as that can be changed, unless an operator has said something else since.
"""

import logging
from pathlib import Path

import msgspec

from mcv.document.generation import Value
from mcv.document.ha_entries import Wanted
from mcv.document.ha_entry_changes import entry_of
from mcv.document.names import NAME, Name
from mcv.errors import McvError, NotFound
from mcv.host import Host
from mcv.system import files

log = logging.getLogger(__name__)

END = ".json"


class WantedNote(Value, frozen=True, kw_only=True):
    """What is wanted of a VM or service since this generation, and the document does not say."""

    name: Name
    wanted: Wanted
    generation: int


def say(host: Host, name: str, wanted: Wanted) -> None:
    """Write down what is wanted of a VM or service; without effect where nobody manages it.

    What is to be ignored stays so. Raises what a change of the document raises.
    """
    entry = entry_of(host.read(), name)
    if entry is not None and entry.wanted != "ignored":
        if entry.wanted != wanted or entry.failed:
            host.update_beside("ha.change", f"{name} is wanted {wanted}", name=name, wanted=wanted)
        _forget(host, name)


def say_or_note(host: Host, name: str, wanted: Wanted) -> str:
    """The same for what must not wait for a majority; a sentence where it is noted, "" else."""
    try:
        say(host, name, wanted)
    except NotFound:
        return ""
    except McvError as error:
        note = WantedNote(name=name, wanted=wanted, generation=host.read().generation)
        files.write_atomically(_path(host, name), msgspec.json.encode(note).decode())
        return (
            f"The document cannot be told now that {name} is wanted {wanted}; {host.name} tells it "
            f"as soon as it can. {error.message}"
        )
    return ""


def is_started(host: Host, name: str) -> bool:
    """Whether a VM or service that is managed is wanted started, as the document says."""
    entry = entry_of(host.read(), name)
    return entry is not None and entry.wanted == "started"


def noted(host: Host, name: str) -> Wanted | None:
    """What is wanted here and is not in the document yet; None where there is no such note."""
    note = files.read_or_set_aside(_path(host, name), WantedNote)
    return note.wanted if note else None


def write_noted(host: Host) -> None:
    """Tell the document what was noted on this node, unless an operator's newer word is there."""
    for path in sorted(_directory(host).glob(f"*{END}")):
        if not NAME.fullmatch(path.name.removesuffix(END)):
            continue
        note = files.read_or_set_aside(path, WantedNote)
        if note is None:
            continue
        entry = entry_of(host.read(), note.name)
        if entry is not None and entry.asked <= note.generation:
            try:
                say(host, note.name, note.wanted)
            except McvError as error:
                log.warning("that %s is wanted %s: %s", note.name, note.wanted, error)
                continue
        _forget(host, note.name)


def _forget(host: Host, name: str) -> None:
    path = _path(host, name)
    if path.exists():
        files.remove(path)


def _path(host: Host, name: str) -> Path:
    return files.child(_directory(host), f"{name}{END}")


def _directory(host: Host) -> Path:
    return host.settings.notes / "wanted"
