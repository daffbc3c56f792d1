"""Host: every door that an operation may use, gathered once and filled by the daemon."""

import contextlib
import logging
import math
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcv.consensus.protocol import Consensus
from mcv.document.initial import alone
from mcv.document.model import Cluster
from mcv.errors import McvError, OutcomeOpen, RepairNeeded
from mcv.settings import Settings
from mcv.system.locks import Locks
from mcv.system.observations import Observations
from mcv.transaction import jobs as jobs_module
from mcv.transaction.executor import Transaction
from mcv.transaction.jobs import Job, Jobs
from mcv.transaction.journal import Entry, Journal
from mcv.transaction.plan import Change, Item, readable
from mcv.transaction.plan import change as change_

if TYPE_CHECKING:
    from mcv.drivers.bridge import Bridges
    from mcv.drivers.drbd import Drbd
    from mcv.drivers.libvirt import Hypervisor
    from mcv.drivers.lvm import Lvm

log = logging.getLogger(__name__)


@dataclass
class Host:
    """The doors of one node. Operations are functions over it; the daemon fills it."""

    settings: Settings
    consensus: Consensus
    journal: Journal
    jobs: Jobs
    locks: Locks
    domains: "Hypervisor"
    drbd: "Drbd"
    volumes: "Lvm"
    bridges: "Bridges"
    call: Callable[..., Any]  # call(node, operation, /, **params): a step, or a question
    forward: Callable[..., Any]  # forward(node, operation, params, who): an operator's call
    tunnel: Callable[..., AbstractContextManager[None]]  # tunnel(path, node, asked): a stream
    certificate: str
    observations: Observations
    images: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.settings.node

    def read(self) -> Cluster:
        """The committed document."""
        return self.consensus.document()

    def both(self) -> list[Cluster]:
        """The committed document and the proposal: a node acts on what both allow."""
        return self.consensus.both()

    @property
    def job(self) -> Job:
        """The job that this operation is; a nameless one where nobody follows it."""
        job = jobs_module.current.get()
        return job or Job(secrets.token_hex(4), "", "mcvd", self.name)

    def update(self, name: str, why: str, /, **params: Any) -> Cluster:
        """Make the change of the document that the job under way is about."""
        return self._update(name, why, params, whole=True)

    def update_beside(self, name: str, why: str, /, **params: Any) -> Cluster:
        """Make a change before or after the work of a job: that it is made says nothing of that."""
        return self._update(name, why, params, whole=False)

    def _update(self, name: str, why: str, params: dict[str, Any], whole: bool) -> Cluster:
        job = self.job
        change = job.next_change()
        try:
            return self.consensus.propose(
                name, params, id=change, who=job.who, why=why or job.title
            )
        except OutcomeOpen as error:
            if whole:
                job.open = {"change": change, "generation": self.read().generation}
            hint = f"{error.hint.rstrip('.')}; then: mcv job wait {job.id}".removeprefix("; ")
            raise OutcomeOpen(f"{error.message} (job {job.id})", hint) from error

    def make(self, change: Change, *, id: str, who: str, why: str) -> Cluster:
        """Make a change that a plan holds, under its own id."""
        return self.consensus.propose(change.name, change.params, id=id, who=who, why=why)

    @contextlib.contextmanager
    def claim(self, subject: str, why: str) -> Iterator[None]:
        """Claim a VM or a member for the job under way.

        The claim ends with the block, unless a journal entry keeps it; one that cannot be
        released now is released later, by the loop that looks for claims without a job.
        """
        kind, _, name = subject.partition(":")
        job = self.job
        token = jobs_module.current.set(job)
        try:
            with self.locks.hold(f"{kind}-{name}", why):
                self.update_beside(f"{kind}.claim", why, name=name, why=why)
            try:
                yield
            except RepairNeeded:
                raise
            except McvError:
                self._release(subject)
                raise
            self._release(subject)
        finally:
            jobs_module.current.reset(token)

    def _release(self, subject: str) -> None:
        kind, _, name = subject.partition(":")
        claim = self.read().claim_of(subject)
        if claim is None or claim.operation != self.job.id:
            return
        try:
            self.update_beside(f"{kind}.release", "", name=name)
        except McvError as error:
            log.warning("the claim on %s is released later: %s", name, error)

    def carry_out(
        self, title: str, plan: list[Item], subject: str, answer: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Carry a plan out under the claim of the job under way, which it ends with.

        Returns the answer; a daemon that has to take the plan up again gives it as well.
        """
        job = self.job
        kind, _, name = subject.partition(":")
        claim = self.read().claim_of(subject)
        entry = Entry(
            operation=job.id,
            title=title,
            who=job.who,
            node=self.name,
            subject=subject,
            number=(claim.epoch, claim.generation) if claim else (0, 0),
            plan=plan,
            release=change_(f"{kind}.release", name=name),
            begun=job.began,
            answer=answer or {},
        )
        self.transaction(job.started).carry_out(entry, lambda step: job.progress(step))
        return entry.answer

    def begin_alone(self) -> None:
        """Make this node a cluster of one, its history kept."""
        self.consensus.begin(alone(self.settings, self.certificate))

    def transaction(self, looked: float = -math.inf) -> Transaction:
        """What carries plans out; looked is when this node was last known to be up to date."""
        poll = self.consensus.poll
        return Transaction(self.name, self.journal, self.call, self.make, poll, looked)


def shown(plan: list[Item]) -> dict[str, Any]:
    """What `--dry-run` answers: the very plan that would be carried out."""
    return {"dry_run": True, "plan": readable(plan)}
