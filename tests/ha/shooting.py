"""The runner of mcv/ha/fence.py in the simulated world: silent nodes are switched off and taken.

Every node watches the leases of the others. It has no manager's office: of two that shoot the same
node at once, the taking's comparison lets one alone take it.
"""

from collections.abc import Callable

from mcv.ha import right, taking, timing
from mcv.ha.env import Unknown
from mcv.ha.fence import Action, Fencing, LeaseEnded, Level, PlugAt, Said, Told, switch_off
from mcv.ha.taking import Evidence, Seen, Watch
from tests.ha.fence_devices import AGENT, Devices, Mode
from tests.ha.sim import PROGRAMS, Programs
from tests.ha.sim_env import SimEnv, without
from tests.ha.world import NODES, Process, Program, Wait, World

OUTSIDE = "a machine outside"
BACK = 60.0  # s after which somebody switches a fenced host on again


class ShootingEnv(SimEnv):
    """What whoever fences may do besides."""

    def __init__(self, process: Process, devices: Devices) -> None:
        super().__init__(process)
        self._devices = devices

    async def askers(self, target: str) -> tuple[str, ...]:
        await self._turn("askers")
        others = (name for name in NODES if name not in (self.node, target))
        return (self.node, *(name for name in others if self.world.linked(self.node, name)))

    async def agent(self, asker: str, order: Fencing, plug: PlugAt, action: Action) -> Told:
        """The agent of a member may be asked over the cluster's network; devices are beside it."""
        await self._turn("agent")
        world = self.world
        if asker != self.node and not world.linked(self.node, asker):
            return Told(Said.FAILED, f"{asker} does not answer")
        await Wait(world.time + AGENT)
        is_on = {name: node.is_up for name, node in world.nodes.items()} | {OUTSIDE: False}
        answer = self._devices.answer(asker, plug, action, is_on)
        host = self._devices.wired.get(str(plug), OUTSIDE)
        is_cut_off = host in world.nodes and not world.linked(asker, host)
        if self._devices.modes.get(str(plug)) is Mode.LIE_IN_BOTH and is_cut_off:
            # It lies as long as the host is in contact: a lie that a test did not find.
            answer.told = Told(Said.FAILED, "the agent failed with 1")
        if answer.switches is not None and host in world.nodes and world.nodes[host].is_up:
            world.power_off(world.nodes[host], "is switched off by its fence device", BACK)
        await Wait(world.time + max(0.0, answer.seconds - AGENT))
        await self._turn("agent answered")
        return answer.told


def shooting(devices: Devices, levels: Callable[[str], tuple[Level, ...]]) -> Program:
    """The program of a node that switches silent nodes off, and takes them."""

    async def shooter(process: Process) -> None:
        env = ShootingEnv(process, devices)
        process.node.watch = watch = Watch(env)
        process.owned.append(lambda: setattr(process.node, "watch", None))
        while True:
            await env.sleep(process.world.delay(0.5, 1.0, 2.0))
            try:
                await watch.look()
                for node, seen in list(watch.seen.items()):
                    await _consider(env, watch, levels(node), node, seen)
            except (Unknown, LeaseEnded):
                continue

    return shooter


async def _consider(
    env: ShootingEnv, watch: Watch, levels: tuple[Level, ...], node: str, seen: Seen
) -> None:
    """The lease is compared as it was before the first call of an agent."""
    suspicion = timing.at_pace(env.world.pace).suspicion
    if await watch.age(node) < suspicion or not await right.has_lease(env):
        return
    is_resumed = env.world.random.random() < 0.3
    order = Fencing(f"{env.node}.{seen.revision}", node, levels, resumed=is_resumed)
    outcome = await switch_off(env, order)
    if outcome.is_off and await taking.take(env, seen, node, Evidence.OFF, without(node)):
        env.world.say(f"{env.node} takes {node}, which is off by level {outcome.level}")
        env.world.takeovers += 1


def with_plugs(
    devices: Devices, levels: Callable[[str], tuple[Level, ...]]
) -> Callable[[World], Programs]:
    """The programs of nodes that shoot, and take nothing by a lease."""
    return lambda world: {**PROGRAMS, "manager": shooting(devices, levels)}
