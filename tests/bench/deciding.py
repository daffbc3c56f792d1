"""The row about one round of decisions of high availability, in the largest cluster meant."""

import time
from collections.abc import Iterator

from msgspec.structs import replace

from mcv.document.availability import Ha
from mcv.document.ha_entries import FailoverDomain, HaEntry, Tie, TieKind
from mcv.rules.ha.decide import decide
from mcv.rules.ha.snapshot import LeaseSeen, NodeSeen, ServiceSeen, Snapshot
from mcv.rules.ha.status import Status
from tests.bench.row import Row
from tests.bench.stage import Stage

NODES, SERVICES = 8, 500
MOST = 0.05  # s of one round
ROUNDS = 20


def rounds(_stage: Stage) -> list[Row]:
    """The longest of a quiet round, of one in which a node has died, and of one after it."""
    return [
        Row(
            f"ha decide, {what}",
            f"One round of {NODES} nodes and {SERVICES} services in domains and ties, and 50 ms.",
            tuple(_spent(look, status) for _ in range(ROUNDS)),
            (MOST,),
            bound=1,
        )
        for what, look, status in looks()
    ]


def _spent(look: Snapshot, status: Status) -> float:
    begun = time.perf_counter()
    decide(look, status)
    return time.perf_counter() - begun


def looks(services: int = SERVICES) -> Iterator[tuple[str, Snapshot, Status]]:
    """What is seen, and what was kept, of a quiet round and of two after a node died."""
    names = [f"vm{number:03}" for number in range(services)]
    quiet = Snapshot(
        now=1000.0,
        term=1,
        manager="n0",
        ha=Ha(armed=True),
        watched=1000.0,
        nodes={f"n{number}": _node(f"n{number}") for number in range(NODES)},
        services={name: _service(name, number) for number, name in enumerate(names)},
        domains={
            f"d{first}": FailoverDomain(
                nodes={f"n{(first + step) % NODES}": step + 1 for step in range(4)},
                ordered=first % 2 == 0,
                restricted=first % 4 == 1,
            )
            for first in range(NODES)
        },
        ties=tuple(_ties(names)),
    )
    status = decide(quiet, Status()).status
    yield "quiet", replace(quiet, now=1100.0), status
    dead = NodeSeen(name="n3", status="offline", evidence="off")
    died = replace(quiet, now=1100.0, nodes={**quiet.nodes, "n3": dead})
    died = replace(died, services={name: _lost(seen) for name, seen in died.services.items()})
    yield "a node died", died, status
    yield "after it", replace(died, now=1102.0), decide(died, status).status


def _node(name: str) -> NodeSeen:
    return NodeSeen(name=name, lease=LeaseSeen(revision=7, age=1.0, boot="b"), memory=1 << 40)


def _service(name: str, number: int) -> ServiceSeen:
    """Its replicas are on two nodes; four of five are in a domain."""
    node, other = f"n{number % NODES}", f"n{(number * 3 + 1) % NODES}"
    domain = f"d{number % NODES}" if number % 5 else ""
    return ServiceSeen(
        name=name,
        node=node,
        entry=HaEntry(domain=domain),
        runs=(node,),
        places={node: "", other: ""} if number % 2 else None,
        memory=1 << 30,
    )


def _lost(seen: ServiceSeen) -> ServiceSeen:
    return replace(seen, runs=()) if seen.node == "n3" else seen


def _ties(names: list[str]) -> Iterator[Tie]:
    kinds: tuple[TieKind, ...] = ("together", "apart")
    for number in range(0, len(names), 10):
        yield Tie(kind=kinds[number // 10 % 2], names=tuple(names[number : number + 3]))
