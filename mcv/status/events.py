"""What happened on the nodes: each node's log of events, and all of them merged by time."""

import re

from msgspec import Struct
from msgspec.structs import replace

from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.system.answers import ask_living_typed
from mcv.system.event_log import Event, Page

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")

Cursors = dict[str, str]  # where a reader goes on in each node's log


class Events(Struct, frozen=True, kw_only=True):
    """Events of the nodes that answered, the oldest first.

    `cursors` is where to go on, `more` names the nodes that have further events already, and
    `silent` has a sentence for each node that did not answer.
    """

    events: list[Event]
    cursors: Cursors
    more: list[str]
    silent: dict[str, str]


def own(host: Host, since: str = "", cursors: Cursors | None = None) -> Page:
    """Answer another node: a page of this node's events."""
    _require_moment(since)
    cursor = (cursors or {}).get(host.name, "")
    return host.jobs.events.read(since, cursor if isinstance(cursor, str) else "")


def show(
    host: Host, since: str = "", cursors: Cursors | None = None, nodes: list[str] | None = None
) -> Events:
    """A page of every member's events, or of these nodes' alone."""
    _require_moment(since)
    asked = [name for name in host.read().nodes if nodes is None or name in nodes]
    others = [name for name in asked if name != host.name]
    patience = host.observations.patience(others)
    told: dict[str, Page | McvError] = {}
    if others:
        told |= ask_living_typed(
            host.call, others, "node.events", patience, Page, since=since, cursors=cursors or {}
        )
    if host.name in asked:
        told[host.name] = own(host, since, cursors)
    pages = {node: page for node, page in told.items() if isinstance(page, Page)}
    # A node speaks for itself alone.
    events = [replace(each, node=node) for node, page in pages.items() for each in page.events]
    return Events(
        events=sorted(events, key=lambda event: event.when),
        cursors={**(cursors or {}), **{node: page.cursor for node, page in pages.items()}},
        more=sorted(node for node, page in pages.items() if page.more),
        silent={node: error.message for node, error in told.items() if isinstance(error, McvError)},
    )


def _require_moment(since: str) -> None:
    if since and not (isinstance(since, str) and MOMENT.fullmatch(since)):
        raise Refused(f"{since!r} is no time.", "Say it as 2026-01-31T12:00:00Z.")
