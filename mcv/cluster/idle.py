"""Whether a node carries operations out, and the wait until it does not."""

import time

from mcv.document.model import Cluster
from mcv.errors import McvError
from mcv.host import Host

POLL = 1.0  # s between two looks
IDLE = 600.0  # s in which operations of the node that is drained come to their end


def await_idle(host: Host, node: str) -> None:
    """Wait until a node carries no operation out: others would take it over from one offline.

    Errors: Cancelled; McvError where that takes too long.
    """
    until = time.monotonic() + IDLE
    while work := working(host.read(), node):
        if time.monotonic() > until:
            raise McvError(f"{node} is at work: {work[0]}.", "See: mcv job list")
        host.job.progress(f"waiting for {node}, which is at work: {work[0]}")
        host.job.cancelled.wait(POLL)
        host.job.check_cancelled()


def working(cluster: Cluster, node: str) -> list[str]:
    """What the operations are about that a node carries out."""
    claims = [cluster.claim_of(subject) for subject in cluster.subjects()]
    return sorted({claim.why for claim in claims if claim is not None and claim.node == node})
