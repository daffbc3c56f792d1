"""What a check has found: one value for each thing that is not as it should be."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from mcv.check.inventory import Inventory
from mcv.document.model import Cluster, Value, Vm, plain
from mcv.errors import McvError

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

FIX = "mcv cluster check --fix"

# What mending means, in words that are shown before it is done.
FIX_TITLES = {
    "define": "define {} as the document says",
    "undefine": "undefine {}, which is stopped",
    "autostart": "switch libvirt's autostart of {} off",
    "file": "write {} as the document says, and take it up",
    "up": "bring {} up",
    "down": "take {} out of the kernel",
    "remove-file": "remove {}",
    "remove-volume": "delete the logical volume {} with all that is on it",
}


class Fix(Value, frozen=True, kw_only=True):
    """Something safe that one node can do about a finding."""

    node: str
    deed: str
    subject: str

    def __str__(self) -> str:
        return f"{self.node}: {FIX_TITLES.get(self.deed, self.deed).format(self.subject)}"


class Finding(Value, frozen=True, kw_only=True):
    """One thing that is not as it should be, and the command that helps.

    An error is what a VM, a start or a change will stumble on; a warning costs room or
    order; a note is worth knowing.
    """

    severity: Severity
    node: str
    subject: str
    message: str
    hint: str = ""
    fix: Fix | None = None

    def plain(self) -> dict[str, Any]:
        told = plain(self)
        assert isinstance(told, dict)
        if self.fix is not None:
            told["fix"]["text"] = str(self.fix)
        return told


def in_order(found: Iterable[Finding]) -> list[Finding]:
    """The worst first, then by node and subject; nothing twice."""
    return sorted(
        dict.fromkeys(found),
        key=lambda one: (SEVERITIES.index(one.severity), one.node, one.subject, one.message),
    )


@dataclass(frozen=True)
class ClusterSnapshot:
    """All that a check judges: the document, and what each node says that it has.

    `known` are the documents that may count: before and after the nodes were asked, the
    settled one and the proposal. `asked` is when a node was asked and had answered, by
    this node's clock. `differences` says how a diverged node's document differs.
    """

    me: str
    cluster: Cluster
    hash: str
    known: tuple[Cluster, ...]
    seen: dict[str, Inventory]
    silent: dict[str, McvError]
    asked: dict[str, tuple[float, float]]
    differences: dict[str, str]

    def is_online(self, node: str) -> bool:
        return node in self.cluster.nodes and self.cluster.nodes[node].status == "online"

    def at_work(self, vm: Vm) -> bool:
        """Whether something changes this VM just now, so that half of it may be elsewhere."""
        if any(one.vms.get(vm.name) != vm for one in self.known):
            return True
        claim = vm.claim
        return bool(
            claim and claim.node in self.seen and claim.operation in self.seen[claim.node].running
        )
