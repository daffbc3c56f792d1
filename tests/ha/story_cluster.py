"""A cluster on which stories are played: hosts, leases, a document, guests as they truly are.

The simulator of world.py has three nodes and one replicated VM, and is about every interleaving of
single calls. Stories have up to five nodes and fifty services without disks, and are about what
is decided; this cluster goes by whole seconds, and its operations end at once or not at all.
What must never be is looked at in every second.
"""

from collections.abc import Callable
from dataclasses import replace

from mcv.document.availability import EvidenceKind
from mcv.ha import timing
from mcv.rules.ha.snapshot import Leaving
from tests.ha.stories import Failing
from tests.ha.story_values import Host, Store

PERIODS = timing.at_pace(1)
BOOT = 5  # s from power to mcvd
FOR_EVER = float("inf")


class Violation(AssertionError):
    """Something was, for a second, that must never be."""


class Cluster:
    """True time and what is true."""

    def __init__(self, store: Store, hosts: dict[str, Host], failing: dict[str, Failing]) -> None:
        self.store = store
        self.hosts = hosts
        self.failing = failing
        self.time = 0.0
        self.cut: set[tuple[str, str]] = set()  # one way each
        self.tries: dict[tuple[str, str], int] = {}
        self.relocations = 0
        self.fenced: set[str] = set()
        self.killed_every = 0  # calls of the manager; 0: never
        self.calls = 0  # of the manager
        self.log: list[str] = []
        self._later: list[tuple[float, Callable[[], None]]] = []

    def say(self, text: str) -> None:
        self.log.append(f"{self.time:6.0f} {text}")

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        self._later.append((self.time + seconds, action))

    def clock(self, host: Host) -> float:
        """The time by a host's own clock, by which its lease ends."""
        return self.time + host.leapt

    # Links

    def hears(self, source: str, target: str) -> bool:
        """Whether what one host sends reaches another; a host without a link hears itself."""
        one, other = self.hosts[source], self.hosts[target]
        if not (one.is_on and other.is_on) or self.is_frozen(source) or self.is_frozen(target):
            return False
        is_linked = one.is_linked and other.is_linked and (source, target) not in self.cut
        return source == target or is_linked

    def linked(self, one: str, other: str) -> bool:
        return self.hears(one, other) and self.hears(other, one)

    def is_frozen(self, name: str) -> bool:
        return self.time < self.hosts[name].frozen_until

    def has_quorum(self, name: str) -> bool:
        """Whether a host reaches a voter that has a majority."""
        voters = [host.name for host in self.hosts.values() if host.voter and host.is_on]

        def leads(voter: str) -> bool:
            return 2 * sum(self.linked(voter, other) for other in voters) > len(self.hosts)

        return any(self.linked(name, voter) and leads(voter) for voter in voters)

    def is_at_work(self, name: str) -> bool:
        """Whether mcvd on a host runs and reaches the store."""
        host = self.hosts[name]
        is_up = host.is_on and self.time >= host.up_at and not self.is_frozen(name)
        return is_up and not host.stalled and self.has_quorum(name)

    # Hosts

    def power_on(self, name: str) -> None:
        host = self.hosts[name]
        if not host.is_on:
            host.is_on, host.is_linked = True, True
            host.boots += 1
            host.up_at = self.time + BOOT
            self.say(f"{name} is switched on")

    def power_off(self, name: str, why: str) -> None:
        host = self.hosts[name]
        if host.is_on:
            self.say(f"{name} is off: {why}")
        host.is_on = host.is_linked = host.reboots = False
        host.leaving = ""
        host.lease_until = host.frozen_until = host.leapt = 0.0
        self.mcvd_ends(host)
        host.runs.clear()
        host.jobs.clear()
        host.stalled.clear()

    def begin_leave(self, name: str, *, reboots: bool) -> None:
        """Shut a host down as the setting has it; a host in maintenance has nothing to move."""
        host, node = self.hosts[name], self.store.nodes[name]
        if not host.is_on:
            return
        policy = self.store.ha.on_shutdown
        conditional: Leaving = "freeze" if reboots else "failover"
        host.leaving = conditional if policy == "conditional" else policy
        if node.draining:
            host.leaving = "migrate"
        host.leaving_since = self.time
        host.reboots = reboots
        self.say(f"{name} {'reboots' if reboots else 'shuts down'}: {host.leaving}")

    def _leave(self, host: Host) -> None:
        """Go on with a shutdown: the guests first, then the lease, then the power."""
        waited = self.time - host.leaving_since
        moves = host.leaving == "migrate" and host.runs and waited < 300
        if moves or host.jobs or waited < 3:
            return
        if "ends" not in host.stalled:
            # mcvd is busy with its end, and tells nothing any more: its lease is renewed still.
            self.say(f"{host.name} stops {' '.join(sorted(host.runs))}")
            host.runs.clear()
            host.stalled.add("ends")
            host.leaving_since = self.time
            return
        if self.has_quorum(host.name):
            self._leave_document(host.name)
            self.store.keys.give_back(host.name)
        reboots = host.reboots
        self.power_off(host.name, "shut down")
        if reboots:
            self.later(5, lambda: self.power_on(host.name))

    def _leave_document(self, name: str) -> None:
        """Go offline in good order, as mcvd does last; the last node online does not."""
        online = [each for each, node in self.store.nodes.items() if node.status == "online"]
        if name in online and online != [name]:
            self.say(f"{name} is offline in good order")
            self.change_node(name, status="offline")

    def come_back(self, name: str) -> None:
        """Be online again after having left in good order, by itself: there may be no manager."""
        host, node = self.hosts[name], self.store.nodes[name]
        has_left = node.status == "offline" and node.evidence is None and not node.maintenance
        if has_left and not host.leaving and not host.runs:
            self.say(f"{name} is online again")
            self.change_node(name, status="online")
            self.new_lease(name)

    # Leases

    def _renew(self, host: Host) -> None:
        node = self.store.nodes[host.name]
        if not self.store.ha.armed or node.status != "online" or self.is_frozen(host.name):
            return
        if self.time >= host.up_at and self.has_quorum(host.name):
            self.store.keys.renew(host.name, host.boot, PERIODS)
            host.lease_until = self.clock(host) + PERIODS.validity

    def mcvd_ends(self, host: Host) -> None:
        """What its process has seen is lost; the next one begins anew."""
        host.lives += 1

    def _expire(self, host: Host) -> None:
        """On-lost-lease is reset: a host whose lease is over is off at once; the guests with it.

        A frozen host is reset by its watchdog.
        """
        if not self.store.ha.armed or not host.is_on or not host.lease_until:
            return
        bound = host.lease_until + (PERIODS.watchdog if self.is_frozen(host.name) else 0)
        if self.clock(host) >= bound:
            self.power_off(host.name, "its lease is over")

    # Time

    def tick(self) -> None:
        """Let a second pass, and look whether all is as it must be."""
        self.time += 1
        due = [action for when, action in self._later if when <= self.time]
        self._later = [(when, action) for when, action in self._later if when > self.time]
        for action in due:
            action()
        for host in self.hosts.values():
            if not host.is_on:
                continue
            if self.time % PERIODS.renewal == 0:
                self._renew(host)
            self._expire(host)
            if host.leaving:
                self._leave(host)
        self.look()

    def look(self) -> None:
        """One running copy on powered nodes, and an owner for every service, never two."""
        running: dict[str, str] = {}
        for host in self.hosts.values():
            for name in host.runs:
                if name in running:
                    raise Violation(f"{name} runs on {running[name]} and {host.name}")
                running[name] = host.name
                service = self.store.services.get(name)
                if service is not None and service.node != host.name:
                    raise Violation(f"{name} of {service.node} runs on {host.name}")
                if service is not None and (service.places or {}).get(host.name):
                    raise Violation(f"{name} runs on {host.name}: {service.places}")
        for name, service in self.store.services.items():
            if service.node not in self.store.nodes:
                raise Violation(f"{name} has no owner")

    # What changes services

    def change(self, name: str, **values: object) -> None:
        """Change a service in the document; a change of its node is a relocation.

        What high availability is to ignore is moved by an operator, and is not counted.
        """
        before = self.store.services[name]
        after = replace(before, **values)  # type: ignore[arg-type]
        if after.node != before.node:
            self.relocations += before.entry.wanted != "ignored"
            self.say(f"{name} belongs to {after.node}, no longer to {before.node}")
        self.store.services[name] = after
        self.store.generation += 1

    def bury(self, name: str, evidence: EvidenceKind) -> None:
        """Call a node offline by evidence, which has to be true.

        A node without a service that can be recovered is not counted as fenced.
        """
        if self.hosts[name].runs:
            running = " ".join(sorted(self.hosts[name].runs))
            raise Violation(f"{name} is declared dead, and runs {running}")
        self.say(f"{name} is offline by evidence: {evidence}")
        owned = [each for each in self.store.services.values() if each.node == name]
        if any(not each.entry.failed and each.entry.wanted != "ignored" for each in owned):
            self.fenced.add(name)
        self.store.keys.take(name, "", evidence)
        self.hosts[name].lease_until = 0
        self.change_node(name, status="offline", evidence=evidence)

    def rest(self, name: str) -> None:
        """Call a drained node offline for maintenance; it gives its lease back."""
        self.say(f"{name} is in maintenance")
        self.change_node(name, status="offline", maintenance=True)
        self.store.keys.give_back(name)
        self.hosts[name].lease_until = 0

    def change_node(self, name: str, **values: object) -> None:
        """Change a member in the document."""
        node = self.store.nodes[name]
        self.store.nodes[name] = replace(node, **values)  # type: ignore[arg-type]
        self.store.generation += 1

    def new_lease(self, name: str) -> None:
        """A node that comes back has a lease, where there are any."""
        if self.store.ha.armed:
            host = self.hosts[name]
            self.store.keys.renew(name, host.boot, PERIODS)
            host.lease_until = self.clock(host) + PERIODS.validity

    def fails(self, verb: str, name: str, node: str, tries: int) -> bool:
        """Whether a start or move fails now: so many tries fail before one succeeds."""
        failing = self.failing.get(name, Failing())
        if not tries or not failing.is_on(node):
            return False
        count = self.tries.get((verb, name), 0) + 1
        self.tries[verb, name] = 0 if count > tries else count
        return count <= tries

    def start(self, name: str, node: str) -> bool:
        """Start a service; whether it runs. Guests start under a valid lease alone."""
        host = self.hosts[node]
        if not host.is_on:
            return False
        if self.store.ha.armed and host.lease_until <= self.clock(host):
            raise Violation(f"{name} starts on {node} without a lease")
        if self.fails("start", name, node, self.failing.get(name, Failing()).starts):
            self.say(f"{name} does not start on {node}")
            return False
        host.runs.add(name)
        self.say(f"{name} runs on {node}")
        self.look()
        return True

    def stop(self, name: str, node: str, *, force: bool) -> bool:
        """Stop a service; whether it has ended. By force everything ends."""
        failing = self.failing.get(name, Failing())
        runs = self.hosts[node].runs
        if name in runs and not force and failing.stops and failing.is_on(node):
            return False
        runs.discard(name)
        return True
