"""Work on a VM that a plan about something else asks of its owner: a job of the owner's own."""

import contextvars
import sys
from collections.abc import Callable

from mcv.document.claim import Claim
from mcv.document.registry import busy
from mcv.errors import McvError
from mcv.host import Host
from mcv.system.answers import plain
from mcv.transaction.job_records import About

Work = Callable[[], object]

NEWS = 1.0  # s between two looks at how far a job is


def carry_out(host: Host, title: str, who: str, work: Work, vm: str = "") -> None:
    """Carry work out as a job of this node, about a VM or about the cluster, and await its end.

    Errors: those of the work.
    """
    errors: list[McvError] = []

    def noted() -> object:
        try:
            return plain(work())
        except McvError as error:
            errors.append(error)
            raise

    job = host.jobs.begin(title, who, about=About("change", (vm,)) if vm else None)
    # A job of its own, also where this very node carries out the plan that asks for it.
    contextvars.Context().run(host.jobs.run, job, noted)
    if errors:
        raise errors[0]
    if job.state != "done":
        raise McvError(f"{job.title} did not end well.", f"See: mcv job show {job.id}")


def follow(host: Host, name: str, claim: Claim) -> None:
    """Wait for news of the job that has claimed a VM; Busy where no job here carries it out."""
    if not host.jobs.running(claim.operation):
        raise busy(name, claim)
    host.jobs.get(claim.operation).follow(sys.maxsize, NEWS)
