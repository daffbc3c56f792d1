"""Rows of the table that only look: events, load, logs."""

from mcv.api.operation import Operation, question, read
from mcv.status import events, top

SEEING: dict[str, Operation] = {
    "event.list": read(events.show),
    "top.show": read(top.show),
    "node.load": question(top.own, timeout=10),
    "node.events": question(events.own),
}
