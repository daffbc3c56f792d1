"""The part of the table about fencing."""

from mcv.api.operation import (
    NODE,
    OPERATOR_ONLY,
    PEER_ONLY,
    Operation,
    Parameters,
    Right,
    admin,
    question,
    step,
)
from mcv.cluster import (
    fence_devices,
    fence_keeping,
    fence_levels,
    fence_power,
    fence_trial,
    ha_drill,
)
from mcv.host import Host


def asker(host: Host, params: Parameters) -> str:
    """A node that may ask the named node's devices: no node asks its own."""
    others = [name for name in host.read().online if name != host.name]
    return others[0] if params.get("node") == host.name and others else host.name


OF_FENCING: dict[str, Operation] = {
    "fence.devices": Operation(fence_devices.listed, OPERATOR_ONLY, Right.ADMIN, asks=True),
    "fence.add_device": admin(fence_devices.add),
    "fence.set_device": admin(fence_devices.set_),
    "fence.remove_device": admin(fence_devices.remove),
    "fence.set": admin(fence_levels.set_, NODE),
    "fence.unset": admin(fence_levels.unset, NODE),
    "fence.status": admin(fence_power.status, NODE, to=asker),
    "fence.test": admin(fence_trial.look, NODE, to=asker),
    "fence.trial": admin(fence_trial.trial, NODE, to=asker),
    "fence.off": admin(fence_power.off, NODE, to=asker),
    "fence.on": admin(fence_power.on, NODE, to=asker),
    "ha.drill": admin(ha_drill.drill, NODE, to=asker),
    "fence.look": Operation(fence_keeping.look, PEER_ONLY, timeout=fence_devices.LOOK),
    "fence.secrets": question(fence_keeping.give, sender=True),
    "fence.monitors": question(fence_devices.monitors),
    "fence.boot": question(fence_trial.boot),
    "fence.ask": Operation(fence_power.ask, PEER_ONLY, timeout=fence_power.CALL),
    "fence.trial_off": step(fence_trial.trial_off, fence_trial.TRIAL_OFF, NODE),
    "fence.trial_on": step(fence_trial.trial_on, fence_trial.TRIAL_ON, NODE),
}
