"""Services leave a node that is drained or evacuated, are taken over, and come home.

A service is stopped here and started there: that takes seconds, and is what it is made for. So it
needs no word about a shutdown.
"""

import time
from collections.abc import Iterable

from msgspec import Struct

from mcv.document.ha_entries import Service
from mcv.document.model import Cluster
from mcv.errors import Busy, McvError, in_full, with_hint
from mcv.host import Host
from mcv.rules import managed
from mcv.service import fitting, power
from mcv.transaction.plan import Item, Step, on
from mcv.vm import own_job

MOVE = 1300.0  # s that a service has to stop, and to start
PATIENCE = 120.0  # s that whoever has claimed a service has, the manager maybe
POLL = 1.0  # s


class Leaving(Struct, frozen=True, kw_only=True):
    """A service of a node, the node that it goes to, "" for none, and then why."""

    name: str
    to: str = ""
    why: str = ""

    def line(self, node: str) -> str:
        if self.to:
            return f"{self.name} goes from {node} to {self.to}: it is stopped and started."
        return f"{self.name} stays on {node}: {self.why}"


def leaving(host: Host, cluster: Cluster, node: str) -> list[Leaving]:
    """Where each service of a node would go, by name; those who could have it are asked."""
    owned = (one for _, one in sorted(cluster.services.items()) if one.node == node)
    return [_leaving(host, cluster, service) for service in owned]


def _leaving(host: Host, cluster: Cluster, service: Service) -> Leaving:
    whys = []
    for to in candidates(cluster, service):
        paths = [script.path for script in service.scripts]
        answers = fitting.ask(host, [to], service.bridge, service.units, paths)
        found, problems = fitting.digests(answers, paths)
        problems += fitting.why_changed(service, to, found)
        if not problems:
            return Leaving(name=service.name, to=to)
        whys += [problem.message for problem in problems]
    why = " ".join(whys) or "no other node that takes services may have it."
    return Leaving(name=service.name, why=why)


def candidates(cluster: Cluster, service: Service) -> list[str]:
    """The nodes that a service may leave its owner for, the best first.

    Its domain comes first, in the order of its priorities; a node beside whom it is not to run
    comes last.
    """
    domain = cluster.domains.get(service.entry.domain)
    members = domain.nodes if domain is not None else {}
    apart = managed.apart_from(service.name, cluster.ties)
    owners = managed.owners_of(cluster)

    def key(node: str) -> tuple[bool, bool, int, bool, str]:
        beside = any(owners.get(other) == node for other in apart)
        priority = members.get(node, 0) if domain is not None and domain.ordered else 0
        return (bool(members) and node not in members, beside, priority, node != service.home, node)

    return sorted(
        (
            node
            for node in cluster.online
            if node != service.node
            and not cluster.nodes[node].draining
            and not (domain is not None and domain.restricted and node not in members)
        ),
        key=key,
    )


def steps(host: Host, node: str, going: Iterable[Leaving]) -> list[Item]:
    """A step for each service: each moves or stays, and none holds another one up."""
    return [
        Step(
            on(host.name, "node.send_service", node=node, name=each.name, who=host.job.who),
            may_fail=True,
        )
        for each in going
    ]


def homecomers(cluster: Cluster, node: str) -> list[Service]:
    """The services whose home a node is, and which are elsewhere."""
    found = (one for _, one in sorted(cluster.services.items()))
    return [one for one in found if one.home == node != one.node]


def steps_home(host: Host, node: str, coming: Iterable[Service]) -> list[Item]:
    return [
        Step(
            on(host.name, "node.bring_service", node=node, name=one.name, who=host.job.who),
            may_fail=True,
        )
        for one in coming
    ]


def takers(going: Iterable[Leaving]) -> dict[str, str]:
    """The new owners of services of a node that is offline."""
    return {each.name: each.to for each in going if each.to}


# Steps, on the node that carries the plan out.


def send_away(host: Host, node: str, name: str, who: str) -> None:
    """Have a service's owner move it elsewhere; without effect where it is that node's no more.

    Whoever has claimed it is waited for. Errors: McvError, in a sentence that names it.
    """
    until = time.monotonic() + PATIENCE
    while (service := host.read().services.get(name)) is not None and service.node == node:
        host.job.check_cancelled()
        going = _leaving(host, host.read(), service)
        if not going.to:
            raise McvError(going.line(node))
        try:
            asked = {"node": node, "name": name, "who": who, "to": going.to}
            host.call(node, "node.give_service", timeout=MOVE, **asked)
            return
        except Busy as busy:
            if time.monotonic() > until:
                raise _named(name, node, busy) from busy
            host.job.progress(f"waiting: {busy.message}")
        except McvError as error:
            raise _named(name, node, error) from error
        time.sleep(POLL)


def bring_home(host: Host, node: str, name: str, who: str) -> None:
    """Have a service's owner move it to its home; without effect where it is there."""
    service = host.read().services.get(name)
    if service is None or service.node == node or service.home != node:
        return
    try:
        asked = {"node": node, "name": name, "who": who, "to": node}
        host.call(service.node, "node.give_service", timeout=MOVE, **asked)
    except McvError as error:
        raise _named(name, service.node, error) from error


def give_away(host: Host, node: str, name: str, who: str, to: str) -> None:
    """Move a service of this node to another one, by a job of its own; its home stays."""
    service = host.read().services.get(name)
    if service is None or service.node != host.name:
        return
    own_job.carry_out(
        host, f"move {name} to {to}", who, lambda: power.migrate(host, name, to, keeps_home=True)
    )


def _named(name: str, node: str, error: McvError) -> McvError:
    """An error in a sentence that names the service, and says that it stays."""
    said = in_full(error)
    text = said if name in said.split() else f"{name} stays on {node}: {said}"
    return McvError(with_hint(text, error.hint))
