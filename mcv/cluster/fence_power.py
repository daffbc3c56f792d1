"""Switching nodes off and on by their fence devices, and asking which are on."""

import contextlib
import secrets
import threading
from collections.abc import Iterator

from msgspec import Struct

from mcv.document.fence_changes import require_device
from mcv.document.fencing import Plug
from mcv.document.model import Cluster
from mcv.drivers.fence_agents import TIMEOUTS, Power
from mcv.errors import Busy, DoneInPart, McvError, NotFound, Refused
from mcv.ha.at_once import at_once
from mcv.ha.env import Answer, Txn
from mcv.ha.fence import (
    Action,
    Fencing,
    LeaseEnded,
    Level,
    Outcome,
    PlugAt,
    Said,
    Told,
    switch_off,
    switch_on,
)
from mcv.host import DryRun, Host
from mcv.system import lease
from mcv.system.answers import decoded
from mcv.system.fanout import ask_all
from mcv.system.lease import LeaseFile

CALL = TIMEOUTS["off"] + TIMEOUTS["metadata"] + 5.0  # s that another node has for one call
STATUS = TIMEOUTS["status"] + TIMEOUTS["metadata"] + 1.0  # s that all plugs have, side by side


class PlugTold(Struct, frozen=True, kw_only=True):
    """A node's answer about a plug that it was asked to ask."""

    said: Said
    message: str = ""


class PlugRow(Struct, frozen=True, kw_only=True):
    """A plug of a node, by its device: on, off or unknown, and when it was tested, "" for never."""

    node: str
    level: int
    device: str
    port: str
    state: str
    tested: str
    ok: bool
    message: str = ""


def levels_of(cluster: Cluster, node: str) -> tuple[Level, ...]:
    """A node's levels; NotFound where there is no such node."""
    return tuple(
        tuple(PlugAt(plug.device, plug.port, bool(plug.tested)) for plug in level)
        for level in cluster.node(node).levels
    )


def order(cluster: Cluster, node: str, uid: str = "", resumed: bool = False) -> Fencing:
    """The order to switch a node off, or on, as the document has its levels."""
    return Fencing(
        uid=uid or secrets.token_hex(8),
        node=node,
        levels=levels_of(cluster, node),
        under_lease=cluster.ha.armed and cluster.store is not None,
        resumed=resumed,
    )


class HostFenceEnv:
    """mcv/ha/env.py's FenceEnv on a node: agents are run here, or by another member."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.node = host.name
        self.boot = lease.boot_id()

    async def now(self) -> float:
        return lease.now()

    async def sleep(self, seconds: float) -> None:
        threading.Event().wait(seconds)

    async def txn(self, txn: Txn) -> Answer:
        raise NotImplementedError("whoever fences writes nothing to etcd")

    async def lease_file(self) -> LeaseFile | None:
        return lease.read(self._host.settings.run)

    async def say(self, text: str) -> None:
        self._host.job.progress(text)

    async def askers(self, target: str) -> tuple[str, ...]:
        heard = self._host.observations.was_heard_lately
        others = (name for name in self._host.read().online if name not in (self.node, target))
        return (self.node, *(name for name in others if heard(name)))

    async def agent(self, asker: str, order: Fencing, plug: PlugAt, action: Action) -> Told:
        if asker == self.node:
            return asked_here(self._host, plug, action, order.under_lease)
        params = {"node": order.node, "device": plug.device, "port": plug.port}
        try:
            answer = self._host.call(asker, "fence.ask", timeout=CALL, action=str(action), **params)
            told = decoded(asker, "fence.ask", answer, PlugTold)
        except McvError as error:
            return Told(Said.FAILED, f"{asker} does not answer: {error.message}".rstrip("."))
        return Told(told.said, told.message)


def ask(host: Host, node: str, device: str, port: str, action: str) -> PlugTold:
    """Answer another node: ask a node's plug here. Refused for what is no plug of that node."""
    if node == host.name:
        raise Refused(f"{node} does not ask its own fence devices.")
    plugs = (plug for level in levels_of(host.read(), node) for plug in level)
    plug = next((plug for plug in plugs if (plug.device, plug.port) == (device, port)), None)
    if plug is None or action not in list(Action):
        raise Refused(f"{node} has no plug {device}:{port}, or {action} is nothing to ask for.")
    told = asked_here(host, plug, Action(action), under_lease=False)
    return PlugTold(said=told.said, message=told.message)


def asked_here(host: Host, plug: PlugAt, action: Action, under_lease: bool) -> Told:
    """Have this node's agent ask a plug's device; a failure is an answer."""

    def watch() -> None:
        if under_lease and not lease.is_valid(host.settings.run):
            raise Refused("this node's lease has ended meanwhile")

    agents = host.fences.agents
    try:
        device = require_device(host.read(), plug.device)
        instance = host.fences.secrets.instance(plug.device, device, plug.port)
        if action is Action.STATUS:
            power = agents.status(instance, watch)
            return Told(Said.OFF if power is Power.OFF else Said.ON)
        (agents.off if action is Action.OFF else agents.on)(instance, watch)
    except McvError as error:
        return Told(Said.FAILED, error.message.rstrip("."))
    return Told(Said.DONE)


# What an operator asks for


@contextlib.contextmanager
def alone(host: Host, node: str) -> Iterator[None]:
    """Nobody else on this node switches the node meanwhile; Busy while somebody does."""
    try:
        with host.locks.hold(f"fence-{node}", f"switch {node}", timeout=0):
            yield
    except Busy as error:
        raise Busy(f"{node} is being switched already.", error.hint) from error


def off(host: Host, node: str, dry_run: bool = False) -> list[PlugRow] | DryRun:
    """Switch a node off by its tested plugs. DoneInPart where it was not seen to be off."""
    wanted = _require_levels(host, node)
    if not any(level and all(plug.tested for plug in level) for level in wanted.levels):
        raise Refused(
            f"No level of {node} has tested plugs alone: one may be another host's.",
            f"mcv fence test {node} --off",
        )
    if dry_run:
        return _preview(host, wanted, Action.OFF)
    with alone(host, node), host.fences.by_operator.at_work(node, f"mcv fence off {node}"):
        host.fences.by_operator.switched(node, is_off=True)
        outcome = carry_out(host, wanted, Action.OFF)
    if not outcome.is_off:
        host.fences.by_operator.switched(node, is_off=False)
        raise DoneInPart(
            f"{node} was not seen to be off: {outcome.message}.",
            f"mcv fence status {node}; if it is dead: mcv fence confirm {node}",
        )
    rows = status(host, node)
    return [row for row in rows if row.level == outcome.level] or rows


def on(host: Host, node: str, dry_run: bool = False) -> list[PlugRow] | DryRun:
    """Switch every plug of a node on. DoneInPart where one does not come on."""
    wanted = _require_levels(host, node)
    if dry_run:
        return _preview(host, wanted, Action.ON)
    with alone(host, node), host.fences.by_operator.at_work(node, f"mcv fence on {node}"):
        host.fences.by_operator.switched(node, is_off=False)
        outcome = carry_out(host, wanted, Action.ON)
    if outcome.failures:
        raise DoneInPart(f"{node}: {outcome.message}.", f"mcv fence status {node}")
    return status(host, node)


def _require_levels(host: Host, node: str) -> Fencing:
    wanted = order(host.read(), node)
    if not wanted.levels:
        raise NotFound(
            f"{node} has no fence device.", f"mcv fence set {node} --level 1 DEVICE[:PORT]"
        )
    if node == host.name:
        raise Refused(
            f"{node} does not ask its own fence devices, and no other node is online.",
            "Ask on another node.",
        )
    return wanted


def carry_out(host: Host, wanted: Fencing, action: Action) -> Outcome:
    """Carry an order out; of one whose node has lost its own lease nothing is done any more."""
    do = switch_off if action is Action.OFF else switch_on
    try:
        return at_once(do(HostFenceEnv(host), wanted))
    except LeaseEnded:
        return Outcome(False, failures=(f"{host.name}'s own lease has ended",))


def _preview(host: Host, wanted: Fencing, action: Action) -> DryRun:
    """Each level with what its agents would read, secrets masked, and what they say now."""
    lines = []
    rows = {(row.device, row.port): row for row in status(host, wanted.node)}
    for number, level in enumerate(wanted.levels, start=1):
        for plug in level:
            row = rows[plug.device, plug.port]
            untested = "" if plug.tested else ", and was never tested"
            why = f": {row.message}" if row.message else ""
            lines.append(f"level {number}: {plug} is {row.state}{untested}{why}")
            device = require_device(host.read(), plug.device)
            instance = host.fences.secrets.instance(plug.device, device, plug.port)
            told = host.fences.agents.stdin(instance, str(action), masked=True).splitlines()
            lines.append(f"  {device.agent} is told: {' '.join(told)}")
    return DryRun(plan=lines)


def status(host: Host, node: str = "") -> list[PlugRow]:
    """Ask every plug of a node, or of all nodes, side by side."""
    cluster = host.read()
    names = [node] if node else sorted(cluster.nodes)
    plugs = {
        f"{name} {number} {place}": (name, number, plug)
        for name in names
        for number, level in enumerate(cluster.node(name).levels, start=1)
        for place, plug in enumerate(level)
    }

    def look(key: str, _: str, timeout: float) -> Told:
        name, plug = plugs[key][0], plugs[key][2]
        at = PlugAt(plug.device, plug.port, bool(plug.tested))
        return at_once(_status(host, name, at))

    answers = ask_all(look, plugs, "", STATUS)
    return [_row(*plugs[key], answer) for key, answer in answers.items()]


async def _status(host: Host, node: str, plug: PlugAt) -> Told:
    """By the first node that can ask: this one, unless the plug is its own."""
    env, wanted = HostFenceEnv(host), order(host.read(), node)
    told = Told(Said.FAILED, f"no other node can ask {node}'s devices")
    for asker in await env.askers(node):
        if asker == node:
            continue
        told = await env.agent(asker, wanted, plug, Action.STATUS)
        if told.said is not Said.FAILED:
            break
    return told


def _row(node: str, level: int, plug: Plug, told: Told | McvError) -> PlugRow:
    known = not isinstance(told, McvError) and told.said in (Said.ON, Said.OFF)
    state = str(told.said) if known and isinstance(told, Told) else "unknown"
    return PlugRow(
        node=node,
        level=level,
        device=plug.device,
        port=plug.port,
        state=state,
        tested=plug.tested,
        ok=known,
        message=told.message,
    )
