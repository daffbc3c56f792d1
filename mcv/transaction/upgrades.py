"""Schemas of journal entries: what an earlier version wrote is read in today's shape."""

from collections.abc import Callable
from typing import Any

from mcv.errors import McvError

SCHEMA = 2  # 1: one subject, steps that settle; such an entry has no schema number


def upgraded(value: dict[str, Any]) -> dict[str, Any]:
    """Decoded JSON of an entry in the present schema.

    Raises McvError where a later version wrote the entry: read by this version it would be
    misread.
    """
    schema = value.get("schema", 1)
    if not isinstance(schema, int) or schema > SCHEMA:
        raise McvError(
            f"The journal entry {value.get('operation')} ({value.get('title')}) has schema "
            f"{schema}; this version reads schemas up to {SCHEMA}.",
            "Install the version that wrote it, and let it finish: mcv repair",
        )
    while schema < SCHEMA:
        value = _UPGRADES[schema](value)
        schema += 1
    return value | {"schema": SCHEMA}


def _from_1(value: dict[str, Any]) -> dict[str, Any]:
    """One subject with its number became a list of claims; `settles` became `commits`."""
    rest = {key: item for key, item in value.items() if key not in ("subject", "number", "release")}
    subject, number = value.get("subject", ""), value.get("number", [0, 0])
    claims = [{"subject": subject, "number": number}] if subject else []
    return {**rest, "claims": claims, "plan": _commits(value.get("plan", []))}


def _commits(value: Any) -> Any:
    if isinstance(value, list):
        return [_commits(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "together":
        return value | {"steps": _commits(value.get("steps", []))}
    rest = {key: item for key, item in value.items() if key != "settles"}
    return rest | {"commits": value["settles"]} if "settles" in value else rest


_UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}
