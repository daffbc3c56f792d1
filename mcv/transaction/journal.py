"""What is left, on disk: operations under way, with their plans and how far they are."""

from pathlib import Path
from typing import Any

import msgspec

from mcv.system import files
from mcv.transaction.former_names import renamed
from mcv.transaction.plan import Change, Item


class Entry(msgspec.Struct, kw_only=True):
    """An operation under way: its plan, how far it is, and which way it goes.

    `position` is the item that was begun last; `serial` counts the calls made, so that a
    late one is told from a new one; `number` is the claim's. `release` ends the claim.
    `skip` names nodes that are gone: their steps are left out after a takeover. `answer` is
    what the operator is told at its good end, who may wait for it across a stop of the daemon.
    """

    operation: str
    title: str
    who: str
    node: str
    subject: str = ""
    number: tuple[int, int] = (0, 0)
    plan: list[Item] = []
    release: Change | None = None
    position: int = -1
    direction: str = "forward"
    serial: int = 0
    begun: str = ""
    trouble: str = ""
    skip: list[str] = []
    answer: dict[str, Any] = {}


class Journal:
    """The entries of one node, a file each, written durably before each step."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        files.make_durable(directory)

    def write(self, entry: Entry) -> None:
        text = msgspec.json.format(msgspec.json.encode(entry), indent=1).decode()
        files.write_atomically(self._path(entry.operation), text)

    def read(self, operation: str) -> Entry | None:
        text = files.read_or_none(self._path(operation))
        return decode(text) if text else None

    def remove(self, operation: str) -> None:
        files.remove(self._path(operation))

    def entries(self) -> list[Entry]:
        """Every entry, the oldest first; one that cannot be read raises: none is passed over."""
        found = [
            decode(path.read_text(encoding="utf-8"))
            for path in sorted(self._directory.glob("*.json"))
        ]
        return sorted(found, key=lambda entry: (entry.begun, entry.operation))

    def _path(self, operation: str) -> Path:
        return self._directory / f"{operation}.json"


def encode(entry: Entry) -> str:
    """An entry as text, for another node to keep a copy of."""
    return msgspec.json.encode(entry).decode()


def decode(text: str) -> Entry:
    """An entry from text, also one that an earlier version wrote."""
    return msgspec.convert(renamed(msgspec.json.decode(text)), type=Entry)
