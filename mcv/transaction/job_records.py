"""The record of a job on disk: which of them this version understands."""

import contextlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mcv.errors import McvError
from mcv.system import files

log = logging.getLogger(__name__)

SCHEMA = 1  # of a job's record; a record without a number has this one

MCV_HA = "mcv-ha"  # who begins what high availability does by itself
OF_HA = "ha-"  # what the id of such a job begins with

Record = dict[str, Any]


@dataclass(frozen=True)
class About:
    """The VMs that a job is about, none where it is about the cluster, and the right to it.

    `what` and `subject` are its event's: "migrate to n2", "web1". An empty `what` is its title.
    `is_plan`: it makes a plan alone, and nothing is left of it.
    """

    right: str = "admin"
    vms: tuple[str, ...] = ()
    what: str = ""
    subject: str = ""
    is_plan: bool = False


def all_in(directory: Path) -> Iterator[Record]:
    """Every record, also a later version's; what is none is put aside."""
    for path in sorted(directory.glob("*.json")):
        record = files.read_or_set_aside(path, dict[str, Any])
        if record is None:
            continue
        if problem := problem_with(record, path.stem):
            files.set_aside(path, f"{path} cannot be read: {problem}.")
            continue
        yield record


def known_in(directory: Path) -> list[Record]:
    """The records that this version understands; a later version's are left alone."""
    known = []
    for record in all_in(directory):
        try:
            require_known(record)
        except McvError as error:
            log.warning("%s", error.message)
        else:
            known.append(without_schema(record))
    return known


def require_known(record: Record) -> None:
    schema = record.get("schema", 1)
    if not isinstance(schema, int) or schema > SCHEMA:
        raise McvError(
            f"Job {record.get('id')} ({record.get('title')}) was recorded in schema {schema}; "
            f"this version reads schemas up to {SCHEMA}.",
            "Install the version that recorded it to read it.",
        )


def problem_with(record: Record, id: str) -> str:
    """What makes a record none of this node's; a later version's is judged by its id alone."""
    if record.get("id") != id:
        return f"it is no record of job {id}"
    if record.get("schema", 1) != SCHEMA:
        return ""
    try:
        msgspec.convert(record, Required)
    except msgspec.ValidationError as error:
        return str(error)
    return ""


def interruption(record: Record, is_left: bool) -> McvError:
    """How a job ended that a stop of the daemon cut off; whether the journal has the rest."""
    rest = "the rest is in the journal." if is_left else "nothing is left in the journal."
    return McvError(
        f"{record['title']} was interrupted by a stop of mcvd; {rest}",
        "See: mcv repair" if is_left else "Run it again.",
    )


def too_many(ids: Iterable[str], kept: int, kept_of_ha: int) -> list[str]:
    """Of jobs, the oldest first, those to be forgotten.

    What high availability did by itself, which may be much, pushes no other job out.
    """
    of_ha: list[str] = []
    others: list[str] = []
    for id in ids:
        (of_ha if id.startswith(OF_HA) else others).append(id)
    return [*others[:-kept], *of_ha[:-kept_of_ha]]


def forget_oldest(directory: Path, kept: int, kept_of_ha: int) -> None:
    """Delete all but the newest records."""
    with contextlib.suppress(OSError):  # what another thread puts aside meanwhile
        paths = sorted(directory.glob("*.json"), key=lambda path: path.lstat().st_mtime)
        for id in too_many([path.stem for path in paths], kept, kept_of_ha):
            (directory / f"{id}.json").unlink()


def without_schema(record: Record) -> Record:
    return {key: value for key, value in record.items() if key != "schema"}


class Required(msgspec.Struct):
    """What every record of a job has, as far as this node decides by it."""

    id: str
    title: str
    state: str
    ended: str
    who: str
    began: str
    at: float = 0.0
    right: str = "admin"
    vms: list[str] = []
    error: Record | None = None
    open: Record = {}


def moment(record: Record) -> float:
    """When a listed job began, finer than the seconds of `began`."""
    return float(record.get("at", 0))
