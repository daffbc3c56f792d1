"""What a list of VMs can be cut down to."""

from mcv.document.model import Cluster
from mcv.errors import Refused, refuse_all

# The states that list tells.
LISTED = ("running", "stopped", "paused", "crashed", "saved", "unknown")


def require(cluster: Cluster, node: str | None, state: str | None) -> None:
    """Raise Refused, with every reason, for a node and a state that there is not."""
    problems: list[Refused] = []
    if node is not None and node not in cluster.nodes:
        nodes = ", ".join(sorted(cluster.nodes))
        problems.append(Refused(f"There is no node {node}.", f"Nodes: {nodes}."))
    if state not in (None, *LISTED):
        words = ", ".join(LISTED)
        problems.append(Refused(f"A VM is in no state {state}.", f"It can be: {words}."))
    refuse_all(problems)
