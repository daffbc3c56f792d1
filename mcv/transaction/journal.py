"""The journal: operations under way on disk, with their plans and their progress."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mcv.document.names import PlainName
from mcv.document.subject import Subject
from mcv.errors import McvError, Unreadable
from mcv.system import files
from mcv.transaction.former_names import renamed
from mcv.transaction.plan import Change, Item, change
from mcv.transaction.upgrades import SCHEMA, upgraded


class EntryClaim(msgspec.Struct):
    """A claim of an operation: its subject as text, and the claim's (epoch, generation).

    The number is (0, 0) until the plan's first step has brought the claim.
    """

    subject: str
    number: tuple[int, int] = (0, 0)


class Escort(msgspec.Struct, frozen=True):
    """What accompanies each call of a plan: the operation, its claims, the call's serial."""

    operation: str
    serial: int
    claims: list[EntryClaim]


class Entry(msgspec.Struct, kw_only=True):
    """An operation under way: its plan, its progress, and its direction.

    `position` is the index of the item begun last. `serial` counts the calls made, so that
    a late call is told from a new one. `claims` are released at the end. `skip` names nodes
    that are offline: their steps are left out after a takeover. `answer` is the operator's
    answer at a good end, also after a restart of the daemon.
    """

    schema: int = SCHEMA
    operation: PlainName
    title: str
    who: str
    node: str
    claims: list[EntryClaim] = []
    plan: list[Item] = []
    position: int = -1
    direction: str = "forward"
    serial: int = 0
    begun: str = ""
    trouble: str = ""
    skip: list[str] = []
    answer: dict[str, Any] = {}

    @property
    def subjects(self) -> list[Subject]:
        return [Subject.parse(claim.subject) for claim in self.claims]

    @property
    def releases(self) -> list[Change]:
        """The changes of the document that end the claims."""
        return [change(subject.release_change, name=subject.name) for subject in self.subjects]

    @property
    def escort(self) -> Escort:
        return Escort(operation=self.operation, serial=self.serial, claims=self.claims)


class Contents(NamedTuple):
    """The entries that can be read, the oldest first; the others by operation, and why not."""

    entries: list[Entry]
    unreadable: dict[str, McvError]


class Journal:
    """The entries of a node, a file each, written durably before each step."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        files.make_durable(directory)

    def write(self, entry: Entry) -> None:
        text = msgspec.json.format(msgspec.json.encode(entry), indent=1).decode()
        files.write_atomically(self._path(entry.operation), text)

    def read(self, operation: str) -> Entry | None:
        """An operation's entry, None where there is none; Unreadable where it is torn."""
        path = self._path(operation)
        text = files.read_or_none(path)
        return None if text is None else _entry(path, text)

    def holds(self, operation: str) -> bool:
        """Whether there is an entry of the operation, readable or not."""
        return os.path.lexists(self._path(operation))

    def set_aside(self, operation: str, why: str) -> None:
        """Keep an entry that cannot be read under another name: its operation is over."""
        files.set_aside(self._path(operation), why)

    def remove(self, operation: str) -> None:
        files.remove(self._path(operation))

    def entries(self) -> list[Entry]:
        """Every entry that can be read, the oldest first."""
        return self.contents().entries

    def unreadable(self) -> dict[str, McvError]:
        """The operations whose entry cannot be read, and why: their subjects stay claimed."""
        return self.contents().unreadable

    def contents(self) -> Contents:
        """Both kinds of entries, each file read once."""
        entries: list[Entry] = []
        unreadable: dict[str, McvError] = {}
        for path in sorted(self._directory.glob("*.json")):
            try:
                entry = self.read(path.stem)
            except McvError as error:
                unreadable[path.stem] = error
                continue
            if entry is not None:
                entries.append(entry)
        entries.sort(key=lambda entry: (entry.begun, entry.operation))
        return Contents(entries, unreadable)

    def _path(self, operation: str) -> Path:
        return files.child(self._directory, f"{operation}.json")


def encode(entry: Entry) -> str:
    """An entry as text, for another node to keep a copy of."""
    return msgspec.json.encode(entry).decode()


def decode(text: str) -> Entry:
    """An entry from text, also from the text of an earlier version.

    Raises McvError where the text is no entry, or a later version's.
    """
    try:
        value = msgspec.json.decode(text, type=dict[str, Any])
        entry = msgspec.convert(renamed(upgraded(value)), type=Entry)
        for claim in entry.claims:
            Subject.parse(claim.subject)
        return entry
    except (msgspec.MsgspecError, RecursionError, TypeError, AttributeError) as error:
        # An entry of an earlier version is upgraded as plain values, before it has a shape.
        raise McvError(f"A journal entry cannot be read: {error}.") from error


def _entry(path: Path, text: str) -> Entry:
    try:
        entry = decode(text)
    except McvError as error:
        raise Unreadable(f"{path.name} cannot be read: {error.message}", error.hint) from error
    if entry.operation != path.stem:
        raise Unreadable(f"{path.name} cannot be read: it is of operation {entry.operation}.")
    return entry
