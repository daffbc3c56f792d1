"""Rows of the table that only look: events, load, logs."""

from mcv.api.operation import Operation, question, read
from mcv.status import events

SEEING: dict[str, Operation] = {
    "event.list": read(events.show),
    "node.events": question(events.own),
}
