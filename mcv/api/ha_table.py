"""The part of the table about high availability."""

from mcv.api.operation import NODE, PEER_ONLY, VM, Operation, admin, question, read, step
from mcv.cluster import (
    armed_return,
    arming,
    arming_look,
    arming_steps,
    failsafe_rounds,
    ha_domains,
    ha_entries,
    ha_list,
    ha_orders,
    ha_reports,
    ha_settings,
    ha_status,
    ha_told,
    ha_what_if,
    lease_keeping,
    watchdog_measure,
)

OF_HA: dict[str, Operation] = {
    "ha.status": read(ha_status.status),
    "ha.settings": read(ha_settings.show),
    "ha.arm": admin(arming.arm),
    "ha.disarm": admin(arming.disarm),
    "ha.set": admin(ha_settings.set_),
    # What is managed
    "ha.add": admin(ha_entries.add, VM),
    "ha.change": admin(ha_entries.set_, VM),
    "ha.remove": admin(ha_entries.remove, VM),
    "ha.list": read(ha_list.list_),
    "ha.what_if": read(ha_what_if.what_if),
    "ha.explain": read(ha_told.explain_, VM),
    "ha.decided": question(ha_told.own),
    "ha.explained": question(ha_told.explain_here),
    "ha.domain_create": admin(ha_domains.create_domain),
    "ha.domain_delete": admin(ha_domains.delete_domain),
    "ha.domains": read(ha_domains.list_domains),
    "ha.tie": admin(ha_domains.tie),
    "ha.untie": admin(ha_domains.untie),
    "ha.ties": read(ha_domains.list_ties),
    # What members ask each other
    "ha.look": question(arming_look.look, timeout=arming.LOOK),
    "ha.measure": Operation(watchdog_measure.measure, PEER_ONLY, timeout=arming.MEASURE),
    "ha.promise": question(failsafe_rounds.promise, sender=True),
    "ha.renew": question(failsafe_rounds.renew, sender=True),
    "ha.lease": question(ha_status.own),
    "ha.report": question(ha_reports.report),
    "ha.order": Operation(ha_orders.order, PEER_ONLY),
    "ha.is_released": question(lease_keeping.is_released),
    "ha.let_go": Operation(lease_keeping.let_go, PEER_ONLY, timeout=30),
    "ha.take_up": step(arming_steps.take_up, subject=NODE),
    "ha.release": step(arming_steps.release, subject=NODE),
    "ha.await_lease": step(arming_steps.await_lease, arming_steps.LEASE + 30, NODE, looks=True),
    "ha.arm_member": step(armed_return.arm_member, 150, NODE),
    "ha.disarm_member": step(armed_return.disarm_member, subject=NODE),
    "ha.mark": step(arming_steps.mark, subject=NODE),
    "ha.await_adjusted": step(
        arming_steps.await_adjusted, arming_steps.ADJUST + 30, NODE, looks=True
    ),
}
