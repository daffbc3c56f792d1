"""What high availability does next: pure, total, with a reason for everything.

The same snapshot and status give the same decision. The new status is written before any action
is carried out; a manager that dies between the two leaves to the next one what it had decided.
"""

from typing import NamedTuple

from mcv.rules.ha import nodes, services
from mcv.rules.ha.actions import AnyAction, Reason, Reasons, TakeOver
from mcv.rules.ha.domains import Places
from mcv.rules.ha.round import Round
from mcv.rules.ha.snapshot import Snapshot
from mcv.rules.ha.status import Status


class Decision(NamedTuple):
    """What is kept, what is done, and why everything is as it is."""

    status: Status
    actions: tuple[AnyAction, ...]
    reasons: Reasons


def decide(snapshot: Snapshot, status: Status) -> Decision:
    """One round. A manager whose own writes do not work decides nothing."""
    if not snapshot.writes:
        return Decision(status, (), _silent(snapshot))
    this = Round(snapshot, status)
    for name in sorted(snapshot.nodes):
        nodes.step(this, snapshot.nodes[name])
    this.places = Places(snapshot, this.nodes, status.services)
    by_priority = sorted(
        snapshot.services.values(), key=lambda each: (-each.entry.priority, each.name)
    )
    for seen in by_priority:
        services.step(this, seen)
    for node, takers in sorted(this.takers.items()):
        this.do(TakeOver(node=node, takers=takers))
    return Decision(
        this.status(), tuple(this.actions), Reasons(this.service_reasons, this.node_reasons)
    )


def _silent(snapshot: Snapshot) -> Reasons:
    why = Reason(f"{snapshot.manager}, which decides, cannot write to etcd", True)
    return Reasons(dict.fromkeys(snapshot.services, why), dict.fromkeys(snapshot.nodes, why))
