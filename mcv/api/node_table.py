"""The part of the table about whole nodes: drained, evacuated, restored, rebooted."""

from mcv.api.operation import (
    NODE,
    Operation,
    admin,
    another,
    another_or_itself,
    named,
    question,
    step,
)
from mcv.cluster import (
    departures,
    draining,
    idle,
    powering,
    rolling,
    service_departures,
    takeovers,
    waking,
)
from mcv.drbd import in_step

DAYS = 14 * 24 * 3600.0
JUDGE = draining.ASK

NODE_TABLE: dict[str, Operation] = {
    "node.drain": admin(draining.drain, NODE, to=another),
    "node.evacuate": admin(draining.evacuate, NODE, to=another),
    "node.restore": admin(draining.restore, NODE, to=another),
    "node.reboot": admin(powering.reboot, NODE, to=named, offline_too=True),
    "node.power_off": admin(powering.power_off, NODE, to=another_or_itself, offline_too=True),
    "node.wake": admin(waking.wake, NODE),
    "node.send_magic": question(waking.send_magic),
    "node.order_off": step(powering.order_off, subject=NODE, looks=True),
    "node.await_return": admin(powering.await_return, NODE),
    "cluster.reboot": admin(rolling.reboot_others),
    "cluster.reboot_last": admin(rolling.reboot_last, NODE, to=another),
    "node.boot": question(powering.boot),
    "node.takeovers": question(takeovers.prospects, timeout=takeovers.ASK),
    "node.take_over": step(takeovers.take_over, takeovers.CALL, NODE, looks=True),
    "node.take_vm": step(takeovers.take_vm, takeovers.CALL, NODE, looks=True),
    "node.departures": question(departures.departures, timeout=JUDGE),
    "node.syncing": question(in_step.syncing),
    "node.give_away": step(departures.give_away, DAYS, NODE, looks=True),
    "node.send_away": step(draining.send_away, DAYS, NODE, looks=True),
    "node.bring_home": step(draining.bring_home, DAYS, NODE, looks=True),
    "node.send_service": step(service_departures.send_away, DAYS, NODE, looks=True),
    "node.bring_service": step(service_departures.bring_home, DAYS, NODE, looks=True),
    "node.give_service": step(
        service_departures.give_away, service_departures.MOVE, NODE, looks=True
    ),
    "node.await_idle": step(idle.await_idle, DAYS, NODE, looks=True),
}
