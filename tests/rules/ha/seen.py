"""What a manager sees, written short; and its rounds, played as its orders are carried out."""

from typing import Any, TypeVar

from msgspec.structs import replace

from mcv.document.availability import Ha
from mcv.document.ha_entries import HaEntry
from mcv.rules.ha.actions import Action
from mcv.rules.ha.decide import Decision, decide
from mcv.rules.ha.snapshot import LeaseSeen, NodeSeen, ServiceSeen, Snapshot
from mcv.rules.ha.status import NodeStatus, ServiceStatus, Status

A = TypeVar("A", bound=Action)
LONG_AGO = 1000.0  # s that the manager has decided before a test begins


def lease(age: float = 1.0, revision: int = 5, **values: Any) -> LeaseSeen:
    return LeaseSeen(revision=revision, age=age, boot="b1", **values)


def node(name: str, **values: Any) -> NodeSeen:
    """A node that is there, and empty of nothing."""
    return NodeSeen(name=name, **{"lease": lease(), **values})


def silent(name: str, age: float = 9.0, *, proves: bool = False, **values: Any) -> NodeSeen:
    """A node whose lease has not moved for a while."""
    return node(name, lease=lease(age, proves=proves), told=False, **values)


def offline(name: str, **values: Any) -> NodeSeen:
    """A node that is offline by evidence."""
    return NodeSeen(name=name, **{"status": "offline", "evidence": "off", **values})


def service(
    name: str, on: str, *, entry: dict[str, Any] | None = None, **values: Any
) -> ServiceSeen:
    """A service that runs on the node that owns it."""
    return ServiceSeen(
        name=name, node=on, entry=HaEntry(**(entry or {})), **{"runs": (on,), **values}
    )


def snapshot(
    nodes: list[NodeSeen], services: list[ServiceSeen] | None = None, **values: Any
) -> Snapshot:
    """What n1, the manager, sees."""
    ha = Ha(**{"armed": True, **values.pop("ha", {})})
    return Snapshot(
        **{
            "now": LONG_AGO,
            "term": 1,
            "manager": "n1",
            "watched": LONG_AGO,
            "nodes": {each.name: each for each in nodes},
            "services": {each.name: each for each in services or []},
            "ha": ha,
            **values,
        }
    )


def before(look: Snapshot, *, of: dict[str, NodeStatus] | None = None, **services: Any) -> Status:
    """A status in which all has been as it is for long, but for what is given of some."""
    quiet = Status(
        term=look.term,
        now=look.now,
        clock=LONG_AGO,
        nodes={name: _quiet(seen) for name, seen in look.nodes.items()} | (of or {}),
        services={
            name: ServiceStatus(
                state="started" if each.node in each.runs else "stopped",
                node=each.node,
                asked=each.entry.asked,
            )
            for name, each in look.services.items()
        },
    )
    return replace(quiet, services={**quiet.services, **services})


def _quiet(seen: NodeSeen) -> NodeStatus:
    return NodeStatus(state="maintenance" if seen.maintenance else seen.status)


def later(look: Snapshot, seconds: float = 2.0, *seen: NodeSeen | ServiceSeen) -> Snapshot:
    """The next look, in which some nodes or services are seen otherwise."""
    nodes = {each.name: each for each in seen if isinstance(each, NodeSeen)}
    services = {each.name: each for each in seen if isinstance(each, ServiceSeen)}
    return replace(
        look,
        now=look.now + seconds,
        watched=look.watched + seconds,
        nodes={**look.nodes, **nodes},
        services={**look.services, **services},
    )


def decided(look: Snapshot, status: Status | None = None) -> Decision:
    """One round, after all had been quiet where nothing else is said."""
    return decide(look, before(look) if status is None else status)


def done(decision: Decision, kind: type[A]) -> list[A]:
    """The actions of a kind, in their order."""
    return [each for each in decision.actions if isinstance(each, kind)]
