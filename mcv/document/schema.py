"""Schema versions of the document and the way from each to the next."""

import json
from collections.abc import Callable
from typing import Any

from mcv.document.model import SCHEMA
from mcv.errors import Refused

Raw = dict[str, Any]

# From a schema to the next, each a pure function over the document as plain JSON. Every node
# upgrades by itself, so what comes out must be the same everywhere.
UPGRADES: dict[int, Callable[[Raw], Raw]] = {}


def version_of(text: str) -> int:
    """The schema that a document says it has; raise Refused where it says none."""
    try:
        raw = json.loads(text)
    except ValueError as error:
        line = getattr(error, "lineno", None)
        where = f"line {line}: " if line else ""
        raise Refused(f"{where}it is no JSON ({error}).") from error
    version = raw.get("schema") if isinstance(raw, dict) else None
    if not isinstance(version, int):
        raise Refused("line 1: it is no document of mcv's: it names no schema.")
    return version


def upgraded(text: str, newest: int = SCHEMA) -> str:
    """The same document in the newest schema; unchanged where it has it already.

    Raises Refused for a document of a newer mcv, and for a schema too old to be upgraded.
    """
    version = version_of(text)
    if version > newest:
        raise Refused(
            f"it was written by a newer mcv: schema {version}, and this one reads up to {newest}.",
            "Install the newer mcv here, as on the other nodes.",
        )
    if version == newest:
        return text
    raw: Raw = json.loads(text)
    while version < newest:
        if version not in UPGRADES:
            raise Refused(f"schema {version} is too old for this mcv.")
        raw = {**UPGRADES[version](raw), "schema": version + 1}
        version += 1
    return json.dumps(raw)
