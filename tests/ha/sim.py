"""One history: the lease, the gate, the handler and takings of mcv/ha over a world with faults."""

import json
from collections.abc import Callable

from mcv.ha import failsafe, peer_loss, right, taking, values
from mcv.ha.env import Txn, Unknown
from mcv.ha.lease import Lease
from mcv.ha.taking import Evidence, Seen, Watch
from tests.ha.aims import AIMS, Aim, aimed
from tests.ha.sim_env import RESOURCE, SimEnv, back, without
from tests.ha.world import REPLICAS, Process, Program, Violation, World

LENGTH = 300.0  # s of a history


async def renew(process: Process) -> None:
    """mcv-lease."""
    env = SimEnv(process)
    lease = Lease(env, env.periods)
    while True:
        lease.wanted = env.periods
        await lease.step()
        await env.sleep(0.25)


async def handler(process: Process) -> None:
    """The kernel asks once for each loss."""
    env = SimEnv(process)
    code = await peer_loss.decide(env, RESOURCE, 60.0)
    node = process.node
    process.world.say(f"{node.name} handler says {code}")
    if code != peer_loss.REFUSE and node.handler == "asked":
        node.handler = "went on"
    # The kernel asks no second time; the coroutine is not to be started again.
    while True:
        await env.sleep(1000)


async def mcvd(process: Process) -> None:
    """Take the newest document, start what is this node's, be online again, clear marks."""
    env = SimEnv(process)
    while True:
        await env.sleep(process.world.delay(0.3, 0.6, 0.9, 1.2, 1.5))
        try:
            answer = await env.txn(Txn(reads=("head", values.LEASES, values.STALE)))
        except Unknown:
            continue
        await env.learn(answer.entries["head"].value)
        document = json.loads(answer.entries["head"].value)
        if env.node in document["offline"]:
            await _come_back(env)
        elif document["owner"] == env.node and not process.node.runs:
            await _start(env)
        mark = answer.entries.get(values.stale_key(RESOURCE))
        if mark is not None and process.world.in_step and document["owner"] == env.node:
            await peer_loss.clear(env, RESOURCE, mark.revision)


async def _come_back(env: SimEnv) -> None:
    if await right.has_lease(env) or await env.leftovers():
        return
    try:
        await taking.come_back(env, env.boot, env.periods, back(env.node))
    except Unknown:
        return


async def _start(env: SimEnv) -> None:
    async def act() -> None:
        if await env.promote():
            await env.start()

    try:
        await right.begin(env, act)
    except right.NoRight:
        return


async def manager(process: Process) -> None:
    """A taker by lease alone; who decides for all is no matter of safety."""
    env = SimEnv(process)
    process.node.watch = watch = Watch(env)
    process.owned.append(lambda: setattr(process.node, "watch", None))
    while True:
        await env.sleep(process.world.delay(0.5, 1.0, 1.5, 2.0, 3.0))
        try:
            await watch.look()
            for node, seen in list(watch.seen.items()):
                await _consider(env, watch, node, seen)
        except Unknown:
            continue


async def promises(process: Process) -> None:
    """The loop of mcvd that asks for promises where the lease runs out."""
    env = SimEnv(process)
    while True:
        await env.sleep(process.world.delay(0.5, 0.8, 1.0, 1.2, 1.5))
        file = await env.lease_file()
        if file is not None and failsafe.is_due(file.until - await env.now(), env.periods):
            await failsafe.extend(env)


async def _consider(env: SimEnv, watch: Watch, node: str, seen: Seen) -> None:
    """Take a node's VMs where its lease has ended, or where an operator's word says so."""
    world = env.world
    by_word = node in world.words
    if not (await right.has_lease(env) and (by_word or await watch.has_ended(node))):
        return
    await env.reach("take")
    evidence = Evidence.WORD if by_word else Evidence.LEASE
    if await taking.take(env, seen, node, evidence, without(node)):
        world.say(f"{env.node} takes {node}")
        world.takeovers += 1


Programs = dict[str, Program]
PROGRAMS: Programs = {"lease": renew, "mcvd": mcvd, "manager": manager, "promises": promises}


def play(
    seed: int,
    aim: str | type[Aim] | None = None,
    *,
    faults: bool = True,
    keeps_descriptor: bool = True,
    programs: Callable[[World], Programs] = lambda _: PROGRAMS,
) -> World:
    """Play a history to its end, or to its first Violation, which is the log's last line.

    The seed chooses what the faults are aimed at, where that is not said.
    """
    world = World(seed, keeps_descriptor=keeps_descriptor)
    chosen = programs(world)
    for node in world.nodes.values():
        node.processes = {
            name: Process(world, node, name, program) for name, program in chosen.items()
        }
        for process in node.processes.values():
            process.start()
        if node.name in REPLICAS:
            node.asked = Process(world, node, "handler", handler)
    if faults:
        aimed(world, aim or list(AIMS)[seed % len(AIMS)])
    try:
        world.run(LENGTH)
    except Violation as violation:
        world.violation = str(violation)
        world.say(f"VIOLATION {violation}")
    finally:
        world.close()
    return world
