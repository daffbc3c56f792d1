"""One look of a node at the other of two: how silent it is, and whose turn it is to shoot."""

from msgspec.structs import replace

from mcv import storage
from mcv.cluster import fence_power, ha_look
from mcv.document.model import Cluster, Vm
from mcv.ha import timing
from mcv.ha.fence import Action, PlugAt, Said, Told
from mcv.ha.pair import NEVER
from mcv.host import Host
from mcv.rules import turns
from mcv.rules.ha.snapshot import NodeSeen, ServiceSeen, Snapshot
from mcv.storage import drbd
from mcv.system.fanout import ask_all


def look(host: Host, boots: dict[str, str]) -> Snapshot:
    """What is seen now. `boots` are kept by the caller: the boot that each node told last."""
    for name in drbd.connected_peers(host):
        host.observations.note_connected(name)
    seen = ha_look.look(host)
    cluster = host.read()
    nodes = {
        name: node if name == host.name else _peer(host, cluster, node, boots)
        for name, node in seen.nodes.items()
    }
    online = (node for node in nodes.values() if node.status == "online")
    suspicion = timing.at_pace(cluster.ha.pace).suspicion
    is_whole = all(node.silence < suspicion for node in online)
    return replace(
        seen,
        leases=False,
        changes=is_whole and host.consensus.in_contact,
        nodes=nodes,
        services={name: _service(host, cluster, each) for name, each in seen.services.items()},
    )


def _peer(host: Host, cluster: Cluster, seen: NodeSeen, boots: dict[str, str]) -> NodeSeen:
    """The other node. Its report, where it came, was heard before the silence is read."""
    if seen.boot:
        boots[seen.name] = seen.boot
    silence = host.observations.silence(seen.name)
    documents = host.both()
    turn = turns.turn(host.name, seen.name, documents) if _are_two(documents, seen.name) else 0.0
    is_due = silence is not None and turn and silence >= turn and seen.status == "online"
    return replace(
        seen,
        silence=NEVER if silence is None else silence,
        contact=host.observations.was_in_contact(seen.name),
        turn=turn,
        shot=3 * turns.delay(cluster),
        boot=boots.get(seen.name, ""),
        void=_own_action(host, cluster) if is_due else "",
    )


def _are_two(documents: list[Cluster], peer: str) -> bool:
    return all(peer in cluster.nodes for cluster in documents)


def _own_action(host: Host, cluster: Cluster) -> str:
    """In words, where a plug of this very node says off: the other node is about to win."""
    plugs = {
        str(at): at
        for level in cluster.node(host.name).levels
        for at in (PlugAt(plug.device, plug.port, bool(plug.tested)) for plug in level)
    }

    def ask(key: str, _: str, timeout: float) -> Told:
        return fence_power.asked_here(host, plugs[key], Action.STATUS, under_lease=False)

    answers = ask_all(ask, plugs, "", fence_power.STATUS)
    off = [key for key, told in answers.items() if isinstance(told, Told) and told.said is Said.OFF]
    return f"{' and '.join(off)} of {host.name} says off, so that it is being shot" if off else ""


def _service(host: Host, cluster: Cluster, seen: ServiceSeen) -> ServiceSeen:
    """Of a VM whose owner is offline this node judges its own replica, as a takeover does."""
    vm = cluster.vms.get(seen.name)
    is_lost = vm is not None and cluster.node(vm.node).status == "offline"
    if vm is None or not is_lost or not seen.places or seen.places.get(host.name) != "":
        return seen
    why = why_not_taken(host, vm)
    if not why:
        return seen
    return replace(seen, places={**seen.places, host.name: why}, newest=vm.node)


def why_not_taken(host: Host, vm: Vm) -> str:
    """What forbids that this node runs a VM of the dead owner with its replicas; "" for nothing."""
    for disk in vm.disks:
        problem = storage.of(disk).why_not_take_over(host, vm)
        if problem is not None:
            return f"{problem.refusal.message} {problem.refusal.hint}".strip()
    return ""
