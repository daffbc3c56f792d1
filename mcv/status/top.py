"""Who uses how much: the load of each node and of each VM that runs."""

import contextvars
import time

from msgspec import Struct

from mcv.drivers.libvirt_load import Used
from mcv.errors import LibvirtSilent, McvError
from mcv.host import Host, LoadSample
from mcv.status.report import LIBVIRT, PROBLEMS
from mcv.system import stall
from mcv.system.answers import ask_living_typed
from mcv.system.memory import memory
from mcv.system.processor import Spent, spent

FRESH = 1.0  # s in which all who ask get the same answer
BETWEEN = 0.5  # s at least between the two samples of a rate
OLDEST = 15.0  # s after which a sample is too old to compare with
PATIENCE = 4.0  # s that a node has for its load
EVERYBODY = 8.0  # s that all of them have
UNKNOWN = Used(cpu=None, memory=None, read=None, written=None)


class NodeLoad(Struct, frozen=True, kw_only=True):
    """A node: percent of all its processors, bytes of memory in use and in all.

    What it did not tell is None, and `problem` says why.
    """

    node: str
    cpu: float | None = None
    memory: int | None = None
    memory_total: int | None = None
    problem: str | None = None


class VmLoad(Struct, frozen=True, kw_only=True):
    """A VM that runs: percent of one processor, bytes of its node's memory, bytes a second."""

    vm: str
    node: str
    cpu: float
    memory: int
    read: int
    written: int


class OwnLoad(Struct, frozen=True, kw_only=True):
    """What a node tells of itself and of its VMs."""

    node: NodeLoad
    vms: list[VmLoad]


class Top(Struct, frozen=True, kw_only=True):
    """The load of all nodes, and of all VMs that run, by name."""

    nodes: list[NodeLoad]
    vms: list[VmLoad]


def show(host: Host) -> Top:
    """The load of the whole cluster; whoever asks within FRESH seconds gets the same."""
    return host.looks.at("the load of all nodes", lambda: _all(host), EVERYBODY, fresh=FRESH)


def _all(host: Host) -> Top:
    others = [name for name in host.read().nodes if name != host.name]
    patience = host.observations.patience(others)
    told: dict[str, OwnLoad | McvError] = {}
    if others:
        told |= ask_living_typed(host.call, others, "node.load", patience, OwnLoad, answer=PATIENCE)
    told[host.name] = own(host)
    return Top(
        nodes=[_node(name, answer) for name, answer in sorted(told.items())],
        vms=sorted(
            (vm for answer in told.values() if isinstance(answer, OwnLoad) for vm in answer.vms),
            key=lambda vm: (vm.vm, vm.node),
        ),
    )


def _node(name: str, answer: OwnLoad | McvError) -> NodeLoad:
    return (
        NodeLoad(node=name, problem=answer.message) if isinstance(answer, McvError) else answer.node
    )


def own(host: Host) -> OwnLoad:
    """Answer another node: the load here, measured once for all who ask at a time."""
    return host.looks.at("the load", lambda: _measured(host), PATIENCE, fresh=FRESH)


def _measured(host: Host) -> OwnLoad:
    before, problem = host.load_sample, ""
    now = time.monotonic()
    if before is None or not BETWEEN <= now - before.at <= OLDEST:
        before, problem = _sample(host)
        time.sleep(BETWEEN)
    if not problem:
        after, problem = _sample(host)
    else:
        after = LoadSample(at=time.monotonic(), spent=spent(), vms={})
    host.load_sample = after
    has = memory()
    seconds = after.at - before.at
    return OwnLoad(
        node=NodeLoad(
            node=host.name,
            cpu=round(_busy(before.spent, after.spent), 1),
            memory=has.total - has.free,
            memory_total=has.total,
            problem=problem or None,
        ),
        vms=[
            _load(name, host.name, before.vms.get(name), used, seconds)
            for name, used in sorted(after.vms.items())
        ],
    )


def _sample(host: Host) -> tuple[LoadSample, str]:
    """What is used so far, and what is wrong with libvirt, "" where nothing is."""
    vms, problem = {}, ""
    context = contextvars.copy_context()
    context.run(stall.in_a_hurry.set, True)
    try:
        vms = context.run(host.domains.load.used)
    except LibvirtSilent:
        problem = PROBLEMS[LIBVIRT]
    except McvError as error:
        problem = error.message
    return LoadSample(at=time.monotonic(), spent=spent(), vms=vms), problem


def _busy(before: Spent, now: Spent) -> float:
    total = now.total - before.total
    return 100 * max(0, now.busy - before.busy) / total if total > 0 else 0.0


def _load(name: str, node: str, before: Used | None, now: Used, seconds: float) -> VmLoad:
    before = before or UNKNOWN
    return VmLoad(
        vm=name,
        node=node,
        cpu=round(100 * rate(before.cpu, now.cpu, seconds), 1),
        memory=now.memory or 0,
        read=round(rate(before.read, now.read, seconds)),
        written=round(rate(before.written, now.written, seconds)),
    )


def rate(before: float | None, now: float | None, seconds: float) -> float:
    """How much a counter rose in a second; 0 where that is not known, or it began anew."""
    if before is None or now is None or seconds <= 0:
        return 0.0
    return max(0.0, (now - before) / seconds)
