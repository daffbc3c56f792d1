"""The two sides of replicas, gathered from the nodes for the judge of a pair to decide on."""

import contextlib
from collections.abc import Mapping

from msgspec.structs import asdict

from mcv.document.disks import DrbdDisk
from mcv.document.model import Vm
from mcv.drbd import notes
from mcv.drivers.drbd_status import Status
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.rules import replica, split_brain, takeover
from mcv.rules.replica_pair import Replica, ReplicaPair, disk_of
from mcv.rules.replica_state import ReplicaState
from mcv.system.answers import ask_typed
from mcv.system.fanout import ANSWER, ask_all
from mcv.system.observations import READ

MOST = 32  # replicas whose generations one report reads: each takes a command
PATIENCE = 15.0  # seconds that a node which lives has to tell its side

States = dict[str, ReplicaState]  # by resource


# What this node tells


def for_report(host: Host, statuses: dict[str, Status]) -> States:
    """The resources here; the first that are StandAlone with which data they hold."""
    alone = sorted(name for name, status in statuses.items() if status.is_standalone)
    read = set(alone[:MOST])
    return {name: _state(host, status, name in read) for name, status in statuses.items()}


def sides(host: Host, resources: list[str]) -> States:
    """Answer another node: how resources are here, and which data they hold."""
    statuses = ((name, host.drbd.status(name)) for name in resources)
    return {name: _state(host, status, True) for name, status in statuses if status is not None}


def _state(host: Host, status: Status, with_generations: bool) -> ReplicaState:
    generations = None
    if with_generations and status.minor is not None:
        # Where they cannot be read nothing is said of the data.
        with contextlib.suppress(McvError):
            generations = host.drbd.metadata.generations(status.resource)
    return ReplicaState(**asdict(status), generations=generations)


# What other nodes tell


def complete(host: Host, seen: Mapping[str, States]) -> None:
    """Have each node whose peer is StandAlone tell which data its own replica holds.

    The side that sees a split brain first disconnects; the other may look for it for ever.
    """
    alone = {
        name for states in seen.values() for name, state in states.items() if state.is_standalone
    }
    lacking = [node for node, states in seen.items() if _lacks(states, alone)]
    for node, states in ask(host, lacking, sorted(alone), READ).items():
        seen[node].update(states)


def _lacks(states: States, alone: set[str]) -> bool:
    return any(
        not state.connected and state.generations is None
        for name, state in states.items()
        if name in alone
    )


def ask(host: Host, nodes: list[str], resources: list[str], timeout: float) -> dict[str, States]:
    """How each of these nodes sees resources; without those that do not tell it in time."""
    answers = ask_typed(host.call, nodes, "drbd.sides", timeout, States, resources=resources)
    return {node: states for node, states in answers.items() if not isinstance(states, McvError)}


def look(host: Host, disk: DrbdDisk) -> dict[str, ReplicaState | None]:
    """One disk as each of its nodes sees it now, with its generations; None for a silent one.

    A decision hangs on it: a node that gives a sign of life has time to look.
    """
    others = [node for node in disk.places if node != host.name]
    signs = ask_all(host.call, others, "config.poll", ANSWER)
    living = [node for node, sign in signs.items() if not isinstance(sign, McvError)]
    seen = ask(host, living, [disk.resource], PATIENCE)
    seen[host.name] = sides(host, [disk.resource])
    return {node: seen.get(node, {}).get(disk.resource) for node in sorted(disk.places)}


# For a decision on this node


def pair(host: Host, vm: Vm, disk: DrbdDisk) -> ReplicaPair:
    """The pair as a start or a migration here needs it.

    The peer is asked only where the decision hangs on what it holds.
    """
    cluster = host.read()
    status = host.drbd.status(disk.resource)
    states = {host.name: None if status is None else _state(host, status, False)}
    peer = disk.other(host.name)
    if replica.needs_both_sides(states[host.name], cluster.node(peer).status == "online"):
        states = look(host, disk)
    replicas = {
        node: Replica(
            node=node,
            is_online=node in cluster.online,
            silent="" if states.get(node) or node == host.name else f"{node} was not asked",
            advice="" if node == host.name else host.advice(node),
            state=states.get(node),
            noted=node == host.name and disk.resource in notes.blocked(host.settings.notes),
        )
        for node in sorted({host.name, *disk.places})
    }
    return ReplicaPair(vm=vm, disk=disk, replicas=replicas, is_enabled=cluster.drbd.enabled)


def why_not_join(host: Host, vm: Vm, disk: DrbdDisk, source: str) -> Refused | None:
    """What forbids to connect two replicas that are apart so that source's data counts."""
    return split_brain.why_not_join(vm, disk_of(vm, disk), look(host, disk), source)


def evidence(host: Host, vm: Vm, disk: DrbdDisk) -> takeover.Evidence:
    """What a takeover of the VM by this node rests on, for one disk."""
    status = host.drbd.status(disk.resource)
    return takeover.Evidence(
        node=host.name,
        replica_of=disk_of(vm, disk),
        disk=status.disk if status else None,
        owner_heard=host.observations.last_heard(vm.node),
        in_step=host.observations.last_in_step(disk.resource),
        was_away=host.observations.was_away_since(vm.node),
    )
