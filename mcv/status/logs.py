"""The logs of all nodes: what names a VM, and what the daemon of a node says."""

from typing import Any

import msgspec
from msgspec import Struct

from mcv.drivers import qemu_log
from mcv.errors import McvError, NotFound, Refused
from mcv.host import Host
from mcv.system import daemon_log
from mcv.system.answers import ask_living_typed, decoded
from mcv.system.daemon_log import Lines
from mcv.system.event_log import Event, is_about, naming

MOST = 1000  # lines of a node's answer
SEARCHED = 5000  # lines of the journal in which a VM is looked for
PATIENCE = 10.0  # s that a node has for its lines

Cursors = dict[str, Any]  # by node, each a LogCursor


class LogCursor(Struct, frozen=True, kw_only=True):
    """Where a reader goes on in each source of a node."""

    journal: str = ""
    qemu: str = ""
    events: str = ""


class LogRow(Struct, frozen=True, kw_only=True):
    """A line, when and where it was written, and by whom: mcvd, qemu, or the log of events."""

    when: str
    node: str
    source: str
    text: str


class LogPart(Struct, frozen=True, kw_only=True):
    """The lines of one node; `problem` says which source could not be read."""

    lines: list[LogRow]
    cursor: LogCursor
    problem: str = ""


class Logs(Struct, frozen=True, kw_only=True):
    """The lines of the nodes that answered, the oldest first.

    `silent` has a sentence for each node that did not answer, or not whole.
    """

    lines: list[LogRow]
    cursors: dict[str, LogCursor]
    more: list[str]
    silent: dict[str, str]


def of_vm(host: Host, name: str, lines: int = 200, cursors: Cursors | None = None) -> Logs:
    """What all members have about a VM: QEMU's log, events, and what mcvd says of it."""
    if name not in host.read().vms:
        raise NotFound(f"There is no VM {name}.", "See: mcv list; what was: mcv events")
    _require_bounded(lines)
    others = [node for node in host.read().nodes if node != host.name]
    patience = host.observations.patience(others)
    told: dict[str, LogPart | McvError] = {}
    if others:
        told |= ask_living_typed(
            host.call,
            others,
            "node.vm_log",
            patience,
            LogPart,
            answer=PATIENCE,
            name=name,
            lines=lines,
            cursors=cursors or {},
        )
    told[host.name] = of_vm_here(host, name, lines, cursors)
    return _merged(told, lines, cursors)


def of_vm_here(host: Host, name: str, lines: int, cursors: Cursors | None = None) -> LogPart:
    """Answer another node: this node's lines about a VM."""
    _require_bounded(lines)
    cursor = _cursor(host, cursors)
    journal, problem = _journal(cursor, SEARCHED)
    named = naming(name)
    qemu = qemu_log.read(name, cursor.qemu)
    page = (
        host.jobs.events.read(cursor=cursor.events)
        if cursor.events
        else host.jobs.events.lately(name, lines)
    )
    rows = [
        *(_event(event) for event in page.events if is_about(event, named)),
        *_rows(host, "qemu", qemu),
        *(row for row in _rows(host, "mcvd", journal) if named.search(row.text)),
    ]
    return LogPart(
        lines=sorted(rows, key=lambda row: row.when)[-lines:],
        cursor=LogCursor(journal=journal.cursor, qemu=qemu.cursor, events=page.cursor),
        problem=problem,
    )


def of_node(host: Host, name: str, lines: int = 200, cursors: Cursors | None = None) -> Logs:
    """What the daemon of a member says in the journal of its system."""
    if name not in host.read().nodes:
        nodes = ", ".join(sorted(host.read().nodes))
        raise NotFound(f"There is neither a VM nor a node {name}.", f"Nodes: {nodes}.")
    _require_bounded(lines)
    if name == host.name:
        part = of_node_here(host, lines, cursors)
    else:
        answer = host.call(name, "node.journal", lines=lines, cursors=cursors or {})
        part = decoded(name, "node.journal", answer, LogPart)
    return _merged({name: part}, lines, cursors)


def of_node_here(host: Host, lines: int, cursors: Cursors | None = None) -> LogPart:
    """Answer another node: the last lines of this node's mcvd."""
    _require_bounded(lines)
    journal, problem = _journal(_cursor(host, cursors), lines)
    cursor = LogCursor(journal=journal.cursor)
    return LogPart(lines=_rows(host, "mcvd", journal), cursor=cursor, problem=problem)


def _merged(told: dict[str, LogPart | McvError], lines: int, cursors: Cursors | None) -> Logs:
    parts = {node: part for node, part in told.items() if isinstance(part, LogPart)}
    # A node speaks for itself alone.
    rows = [
        msgspec.structs.replace(row, node=node)
        for node, part in parts.items()
        for row in part.lines
    ]
    silent = {node: error.message for node, error in told.items() if isinstance(error, McvError)}
    incomplete = {node: part.problem for node, part in parts.items() if part.problem}
    return Logs(
        lines=sorted(rows, key=lambda row: row.when)[-lines:],
        cursors={**(cursors or {}), **{node: part.cursor for node, part in parts.items()}},
        more=[],
        silent={**silent, **incomplete},
    )


def _journal(cursor: LogCursor, most: int) -> tuple[Lines, str]:
    """The daemon's lines; where they cannot be read, why."""
    try:
        return daemon_log.read(cursor.journal, most), ""
    except McvError as error:
        return Lines(lines=[], cursor=cursor.journal), error.message


def _rows(host: Host, source: str, found: Lines) -> list[LogRow]:
    return [
        LogRow(when=line.when, node=host.name, source=source, text=line.text)
        for line in found.lines
    ]


def _event(event: Event) -> LogRow:
    what = " ".join(filter(None, (event.what, event.subject)))
    text = f"{event.who}: {what}: {event.outcome}"
    return LogRow(when=event.when, node=event.node, source="event", text=text)


def _cursor(host: Host, cursors: Cursors | None) -> LogCursor:
    try:
        return msgspec.convert((cursors or {}).get(host.name, {}), LogCursor)
    except (msgspec.ValidationError, AttributeError) as error:
        raise Refused(f"The place to go on from makes no sense: {error}.") from error


def _require_bounded(lines: int) -> None:
    if not isinstance(lines, int) or not 1 <= lines <= MOST:
        raise Refused(f"{lines} is no number of lines.", f"At least 1, at most {MOST}.")
