"""Notes about resources of this node, which need no daemon and no agreement.

DRBD's handlers and a verification leave them: a file of JSON for each resource and kind.
"""

import json
from pathlib import Path
from typing import Any

from mcv.errors import McvError
from mcv.system import files

ALONE = "alone"  # this node goes on without the peer, since when and why
OUT_OF_SYNC = "out-of-sync"  # a failed verification that the document does not tell yet


def path(notes: Path, resource: str, kind: str) -> Path:
    return files.child(notes, f"{resource}.{kind}.json")


def write(notes: Path, resource: str, kind: str, **values: Any) -> None:
    files.write_atomically(path(notes, resource, kind), json.dumps(values))


def remove(notes: Path, resource: str, kind: str) -> None:
    files.remove(path(notes, resource, kind))


def read(notes: Path, resource: str, kind: str) -> dict[str, Any] | None:
    """What a note says; None where there is none. Raises McvError where it cannot be read."""
    text = files.read_or_none(path(notes, resource, kind))
    try:
        return dict(json.loads(text)) if text else None
    except ValueError as error:
        raise McvError(f"A note about {resource} cannot be read: {error}") from error


def noted(notes: Path, kind: str) -> list[str]:
    """The resources that have a note of one kind."""
    end = f".{kind}.json"
    return sorted(path.name.removesuffix(end) for path in notes.glob(f"*{end}"))


def blocked(notes: Path) -> list[str]:
    """Resources whose failed verification is noted here and not yet in the document."""
    return noted(notes, OUT_OF_SYNC)
