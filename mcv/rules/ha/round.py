"""One round of decisions while it is made: what is seen, what was, and what comes out."""

from mcv.rules.ha.actions import AnyAction, Reason, Tell
from mcv.rules.ha.domains import Places
from mcv.rules.ha.snapshot import Snapshot
from mcv.rules.ha.status import NodeStatus, ServiceStatus, Status


class Round:
    """What the two tables share. It is filled by node first, then by service."""

    def __init__(self, snapshot: Snapshot, before: Status) -> None:
        self.snapshot = snapshot
        self.before = before
        is_same = snapshot.term == before.term
        self.clock = before.clock + (max(0.0, snapshot.now - before.now) if is_same else 0.0)
        self.nodes: dict[str, NodeStatus] = {}
        self.services: dict[str, ServiceStatus] = {}
        self.node_reasons: dict[str, Reason] = {}
        self.service_reasons: dict[str, Reason] = {}
        self.actions: list[AnyAction] = []
        self.rebooted: set[str] = set()  # nodes that are there, in another boot than before
        self.takers: dict[str, dict[str, str]] = {}  # by the node that is offline
        self.places: Places  # made once all nodes are judged
        self._count = before.count

    def uid(self) -> str:
        """A name for an action that no other one has, of whatever manager."""
        self._count += 1
        return f"{self.snapshot.term}.{self._count}"

    def do(self, action: AnyAction) -> None:
        self.actions.append(action)

    def tell(self, subject: str, text: str) -> None:
        self.actions.append(Tell(subject=subject, text=text))

    def is_offline(self, node: str) -> bool:
        """Whether the document says that the node runs nothing."""
        seen = self.snapshot.nodes.get(node)
        return seen is not None and seen.status == "offline"

    def status(self) -> Status:
        return Status(
            term=self.snapshot.term,
            now=self.snapshot.now,
            clock=self.clock,
            count=self._count,
            nodes=self.nodes,
            services=self.services,
        )
