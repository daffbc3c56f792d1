"""The commands of a story: faults, and what an operator says."""

from collections.abc import Callable

from msgspec import structs

from mcv.document.ha_entries import HaEntry
from mcv.rules import managed
from mcv.rules.ha.snapshot import ClaimSeen
from tests.ha.stories import WANTED, Command, NotAStory
from tests.ha.story_cluster import Cluster
from tests.ha.story_values import DocService
from tests.ha.story_worker import move

MOVE = 5  # s
DOES_NOTHING = ("delay", "pve-manager-version", "set-static-stats", "set-dynamic-stats")


class Operator:
    """Carries out commands at once; a move is an operation with a claim, which lasts."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.store = cluster.store
        self.waits: Callable[[], bool] | None = None  # a disarming that is refused meanwhile

    def say(self, command: Command) -> None:
        self.cluster.say(f"> {command.verb} {command.what} {' '.join(command.rest)}".rstrip())
        if command.verb in DOES_NOTHING:
            return
        method = getattr(self, "_" + command.verb.replace("-", "_"), None)
        if method is None:
            raise NotAStory(f"{command.verb} {command.what}")
        method(command.what, *command.rest)

    def tick(self) -> None:
        """Try again what was refused."""
        if self.waits is not None and self.waits():
            self.waits = None

    # Faults

    def _power(self, node: str, to: str) -> None:
        if to == "on":
            self.cluster.power_on(node)
        else:
            self.cluster.power_off(node, "no power")

    def _network(self, node: str, to: str) -> None:
        self.cluster.hosts[node].is_linked = to == "on" and self.cluster.hosts[node].is_on

    def _reboot(self, node: str) -> None:
        self.cluster.begin_leave(node, reboots=True)

    def _shutdown(self, node: str) -> None:
        self.cluster.begin_leave(node, reboots=False)

    def _manager(self, node: str, to: str) -> None:
        self.cluster.hosts[node].manages = to == "start"

    def _store(self, node: str, what: str, to: str) -> None:
        """Their file system of the cluster fails on a node; ours is that mcvd hangs there."""
        stalled = self.cluster.hosts[node].stalled
        if to == "fail":
            stalled.add(what)
        else:
            stalled.discard(what)

    def _restart_worker(self, node: str) -> None:
        """mcvd is upgraded: guests run on, and it is away for a moment."""
        host = self.cluster.hosts[node]
        host.stalled.add("restart")
        self.cluster.mcvd_ends(host)
        self.cluster.later(20, lambda: host.stalled.discard("restart"))

    def _skip_round(self, who: str) -> None:
        for host in self.cluster.hosts.values():
            host.stalled.add("skip")
            self.cluster.later(10, lambda host=host: host.stalled.discard("skip"))  # type: ignore[misc]

    # Our own faults

    def _link(self, one: str, other: str, to: str) -> None:
        change = self.cluster.cut.add if to == "down" else self.cluster.cut.discard
        change((one, other))

    def _freeze(self, node: str, seconds: str) -> None:
        self.cluster.hosts[node].frozen_until = self.cluster.time + float(seconds)

    def _clock(self, node: str, seconds: str) -> None:
        self.cluster.hosts[node].leapt += float(seconds)

    def _etcd(self, node: str, to: str) -> None:
        self.cluster.hosts[node].voter = to != "kill"

    def _fence_device(self, node: str, to: str, tested: str = "tested") -> None:
        """What the device of a node does from now on; its plug was tested, or was not."""
        host = self.cluster.hosts[node]
        host.device = "" if to == "none" else to
        host.is_tested = tested == "tested"

    def _replica(self, name: str, node: str, to: str) -> None:
        """A service has a replica on its owner and on this node, which is ok, or is not."""
        service = self.store.services[name]
        lacks = "" if to == "ok" else f"its replica is {to}"
        places = {service.node: "", **(service.places or {}), node: lacks}
        self.cluster.change(name, places=places)

    def _crash(self, node: str, at: str, calls: str) -> None:
        self.cluster.hosts[node].dies_in = int(calls)

    # High availability as a whole

    def _drain(self, node: str) -> None:
        if self.store.nodes[node].status == "online":
            self.cluster.change_node(node, draining=True)
        else:
            self.cluster.say(f"{node} is offline")

    def _restore(self, node: str) -> None:
        was = self.store.nodes[node]
        self.cluster.change_node(node, draining=False, maintenance=False)
        if was.maintenance and self.cluster.is_at_work(node):
            self.cluster.change_node(node, status="online")
            self.cluster.new_lease(node)

    def _disarm(self, node: str, mode: str) -> None:
        """Leases are given back. Refused while a node is suspect; then said again."""
        self.waits = self._disarm_now

    def _disarm_now(self) -> bool:
        status = self.store.keys.status
        if any(each.state in ("suspect", "fencing") for each in status.nodes.values()):
            return False
        self.store.ha = structs.replace(self.store.ha, armed=False)
        for host in self.cluster.hosts.values():
            host.lease_until = 0
            self.store.keys.give_back(host.name)
        return True

    def _arm(self, node: str) -> None:
        self.waits = None
        if self.store.ha.armed:
            return
        self.store.ha = structs.replace(self.store.ha, armed=True)
        for name, member in self.store.nodes.items():
            if member.status == "online" and self.cluster.is_at_work(name):
                self.cluster.new_lease(name)

    # Services

    def _set(self, name: str, wanted: str) -> None:
        service = self.store.services.get(name)
        if service is None:
            return
        asked = self.store.generation + 1
        entry = structs.replace(service.entry, wanted=wanted, asked=asked, failed="")
        self.cluster.change(name, entry=entry)

    def _stop(self, name: str, timeout: str) -> None:
        self._set(name, "stopped")

    def _add(self, name: str, node: str, wanted: str = "started") -> None:
        assert wanted in WANTED
        entry = structs.replace(HaEntry(), asked=self.store.generation)
        live = name.startswith("vm:")
        service = DocService(node=node, home=node, entry=entry, live=live)
        self.store.services[name] = service
        self._set(name, wanted)

    def _remove(self, name: str) -> None:
        self.store.services.pop(name, None)

    def _lock(self, name: str) -> None:
        """A backup has claimed it, and never ends."""
        node = self.store.services[name].node
        self.cluster.change(name, claim=ClaimSeen(operation="backup", node=node, why="backup"))

    def _migrate_by_hand(self, name: str, target: str) -> None:
        """Past high availability, which does not look after it now."""
        move(self.cluster, name, target, live=True, home=True)

    def _relocate(self, name: str, target: str) -> None:
        self._move(name, target, live=False)

    def _migrate(self, name: str, target: str) -> None:
        self._move(name, target, live=self.store.services[name].live)

    def _move(self, name: str, target: str, *, live: bool) -> None:
        """An operator's move: refused at once where it cannot be, else claimed and carried out."""
        why = self._forbids(name, target)
        if why:
            self.cluster.say(f"refused: {why}")
            return
        claim = ClaimSeen(operation=f"migrate-{name}", node=self.store.services[name].node)
        self.cluster.change(name, claim=claim)
        self.cluster.later(MOVE, self._arrives(name, target, live))

    def _arrives(self, name: str, target: str, live: bool) -> Callable[[], None]:
        def arrive() -> None:
            if name in self.store.services and self.store.services[name].claim is not None:
                move(self.cluster, name, target, live=live, home=True)
                self.cluster.change(name, claim=None)

        return arrive

    def _forbids(self, name: str, target: str) -> str:
        service = self.store.services[name]
        if self.store.nodes[target].status != "online" or self.store.nodes[target].draining:
            return f"{target} takes nothing now"
        if self.store.nodes[service.node].status != "online":
            return f"{service.node} is offline"
        if service.claim is not None:
            return f"{name} is claimed"
        owners = {
            other: has.node
            for other, has in self.store.services.items()
            if has.entry.wanted == "started"
        }
        domain = self.store.domains.get(service.entry.domain)
        apart = managed.apart_from(name, self.store.ties)
        return " ".join(
            problem.message for problem in managed.judged(name, target, domain, apart, owners)
        )
