"""Notes about resources of this node, which need no daemon and no agreement.

DRBD's handlers and a verification leave them: a file of JSON for each resource and kind.
"""

import json
import logging
import re
from pathlib import Path
from typing import Any

from mcv.errors import McvError
from mcv.system import files

log = logging.getLogger(__name__)

TIMES = ("when", "since")
NUMBERS = ("out_of_sync", "seconds")
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

ALONE = "alone"  # this node goes on without the peer, since when and why
BEHIND = "behind"  # the replica here lacks what its peer has, since when and why
OUT_OF_SYNC = "out-of-sync"  # a failed verification that the document does not tell yet


def path(notes: Path, resource: str, kind: str) -> Path:
    return files.child(notes, f"{resource}.{kind}.json")


def write(notes: Path, resource: str, kind: str, **values: Any) -> None:
    files.write_atomically(path(notes, resource, kind), json.dumps(values))


def remove(notes: Path, resource: str, kind: str) -> None:
    files.remove(path(notes, resource, kind))


def read(notes: Path, resource: str, kind: str) -> dict[str, Any] | None:
    """What a note says; None where there is none.

    That there is a note is said by its name, which a torn file still has: what of it cannot
    be read, or is of another form, is left out.
    """
    try:
        text = files.read_or_none(path(notes, resource, kind))
        if text is None:
            return None
        values = json.loads(text)
    except (McvError, ValueError, RecursionError) as error:
        log.warning("a note about %s cannot be read: %s", resource, error)
        return {}
    known = values.items() if isinstance(values, dict) else ()
    return {key: value for key, value in known if _is_of_its_form(key, value)}


def _is_of_its_form(key: str, value: Any) -> bool:
    if key in TIMES:
        return isinstance(value, str) and TIMESTAMP.fullmatch(value) is not None
    if key in NUMBERS:
        return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return isinstance(value, str)


def noted(notes: Path, kind: str) -> list[str]:
    """The resources that have a note of one kind."""
    end = f".{kind}.json"
    return sorted(path.name.removesuffix(end) for path in notes.glob(f"*{end}"))


def blocked(notes: Path) -> list[str]:
    """Resources whose failed verification is noted here and not yet in the document."""
    return noted(notes, OUT_OF_SYNC)
