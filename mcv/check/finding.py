"""What a check has found: one value for each thing that is not as it should be."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mcv.check.inventory import Inventory
from mcv.document.generation import Value
from mcv.document.model import Cluster, Vm
from mcv.drivers.etcd_local import VoterShown
from mcv.errors import McvError
from mcv.rules import finding
from mcv.rules.ha.explain import WouldMove

FIX = "mcv cluster check --fix"

# What mending means, in words that are shown before it is done.
FIX_TITLES = {
    "define": "define {} as the document says",
    "undefine": "undefine {}, which is stopped",
    "autostart": "switch libvirt's autostart of {} off",
    "file": "write {} as the document says, and take it up",
    "up": "bring {} up",
    "activate": "activate the logical volume {}",
    "down": "take {} out of the kernel",
    "remove-file": "remove {}",
    "hide-guests": "hide guests' disks from LVM, in {}",
    "remove-volume": "delete the logical volume {} with all that is on it",
}


class FixView(Value, frozen=True, kw_only=True):
    """A fix as it is shown, in words too."""

    node: str
    deed: str
    subject: str
    text: str


class Fix(Value, frozen=True, kw_only=True):
    """Something safe that one node can do about a finding."""

    node: str
    deed: str
    subject: str

    @property
    def view(self) -> FixView:
        return FixView(node=self.node, deed=self.deed, subject=self.subject, text=str(self))

    def __str__(self) -> str:
        return f"{self.node}: {FIX_TITLES.get(self.deed, self.deed).format(self.subject)}"


class FindingView(finding.Finding, frozen=True, kw_only=True):
    """A finding as it is shown."""

    node: str
    subject: str
    fix: FixView | None


class Finding(finding.Finding, frozen=True, kw_only=True):
    """A finding on one node, about one subject, and what that node can safely do about it."""

    node: str
    subject: str
    fix: Fix | None = None

    @property
    def view(self) -> FindingView:
        fix = self.fix
        return FindingView(
            severity=self.severity,
            message=self.message,
            hint=self.hint,
            node=self.node,
            subject=self.subject,
            fix=fix.view if fix else None,
        )


def in_order(found: Iterable[Finding]) -> list[Finding]:
    """The worst first, then by node and subject; nothing twice."""
    return sorted(
        dict.fromkeys(found),
        key=lambda finding: (finding.severity.rank, finding.node, finding.subject, finding.message),
    )


@dataclass(frozen=True)
class ClusterSnapshot:
    """All that a check judges: the document, and what each node says that it has.

    `known` are the documents that may count: before and after the nodes were asked, the
    committed document and the proposal. `asked` is when a node was asked and had answered, by
    this node's clock. `differences` says how a diverged node's document differs, `behind` by
    resource which replica is marked as behind, `placeless` what would run nowhere if its node died.
    """

    me: str
    cluster: Cluster
    hash: str
    known: tuple[Cluster, ...]
    seen: dict[str, Inventory]
    silent: dict[str, McvError]
    asked: dict[str, tuple[float, float]]
    differences: dict[str, str]
    voters: tuple[VoterShown, ...] = ()  # of etcd, where the document lies there
    behind: Mapping[str, str] = field(default_factory=dict)
    placeless: tuple[WouldMove, ...] | McvError = ()

    def is_online(self, node: str) -> bool:
        return node in self.cluster.nodes and self.cluster.nodes[node].status == "online"

    def at_work(self, vm: Vm) -> bool:
        """Whether something changes this VM just now, so that half of it may be elsewhere."""
        if any(document.vms.get(vm.name) != vm for document in self.known):
            return True
        claim = vm.claim
        return bool(
            claim and claim.node in self.seen and claim.operation in self.seen[claim.node].running
        )
