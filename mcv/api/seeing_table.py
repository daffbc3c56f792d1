"""Rows of the table that only look: events, load, logs."""

from mcv.api.operation import NODE_BY_NAME, OPERATOR_ONLY, VM, Operation, question, read
from mcv.rules.rights import Right
from mcv.status import events, logs, top

SEEING: dict[str, Operation] = {
    "event.list": read(events.show),
    "vm.log": read(logs.of_vm, VM),
    "node.log": Operation(logs.of_node, OPERATOR_ONLY, Right.ADMIN, NODE_BY_NAME, asks=True),
    "node.vm_log": question(logs.of_vm_here, timeout=15),
    "node.journal": question(logs.of_node_here, timeout=15),
    "top.show": read(top.show),
    "node.load": question(top.own, timeout=10),
    "node.events": question(events.own),
}
