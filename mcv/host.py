"""Host: every door that an operation may use, gathered once and filled by the daemon."""

import contextlib
import functools
import logging
import math
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from mcv.consensus.protocol import Consensus
from mcv.document.initial import alone
from mcv.document.model import Cluster, Node
from mcv.document.subject import Subject
from mcv.errors import McvError, OutcomeOpen, RepairNeeded, wait_for
from mcv.etcd.client import Keyspace
from mcv.ha.leases_seen import LeasesSeen
from mcv.ha.manager import Managing
from mcv.settings import Settings
from mcv.system import cards, systemd
from mcv.system.attempts import ServiceLooks, StartAttempt
from mcv.system.held_file import HeldFile
from mcv.system.lines import Lead, Lines
from mcv.system.locks import Locks
from mcv.system.looks import Looks
from mcv.system.observations import Observations
from mcv.system.pauses import Pauses
from mcv.system.processor import Spent
from mcv.system.shared_work import SharedWork
from mcv.transaction import jobs as jobs_module
from mcv.transaction.executor import Transaction
from mcv.transaction.jobs import Job, Jobs
from mcv.transaction.journal import Entry, EntryClaim, Journal
from mcv.transaction.plan import Change, Item, brings_claim, readable

if TYPE_CHECKING:
    from mcv.drivers.blocks import Blocks, Server
    from mcv.drivers.bridge import Bridges
    from mcv.drivers.directories import Directories
    from mcv.drivers.drbd import Drbd
    from mcv.drivers.etcd_local import LocalEtcd
    from mcv.drivers.fence_doors import FenceDoors
    from mcv.drivers.host_devices import HostDevices
    from mcv.drivers.libvirt import Hypervisor
    from mcv.drivers.libvirt_load import Used
    from mcv.drivers.local_lease import LocalLease
    from mcv.drivers.lvm import Lvm
    from mcv.drivers.service_doors import ServiceDoors

log = logging.getLogger(__name__)

ServedClaim = tuple[str, tuple[tuple[int, int], ...]]  # the operation, its claims' numbers
A = TypeVar("A")


@dataclass(frozen=True)
class LoadSample:
    """What this host's processors and VMs had used at a moment of the monotonic clock."""

    at: float
    spent: Spent
    vms: Mapping[str, "Used"]


class DryRun(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to --dry-run: the very plan that would be carried out, a line for each step."""

    dry_run: bool = True
    plan: list[str]


@dataclass(frozen=True)
class Prepared(Generic[A]):
    """What a look at an operation gives: the plan, and the operator's answer at a good end.

    `preview` makes the answer to --dry-run from the plan's lines. `around` is entered after
    the last look and before the first step.
    """

    plan: list[Item]
    answer: A
    preview: Callable[..., DryRun] = DryRun  # preview(plan=lines)
    around: AbstractContextManager[Any] = field(default_factory=contextlib.nullcontext)


@dataclass
class Host:
    """The doors of a node. Operations are functions over it; the daemon fills it."""

    settings: Settings
    consensus: Consensus
    journal: Journal
    jobs: Jobs
    locks: Locks
    domains: "Hypervisor"
    drbd: "Drbd"
    volumes: "Lvm"
    directories: "Directories"
    blocks: "Blocks"
    bridges: "Bridges"
    devices: "HostDevices"
    etcd: "LocalEtcd"
    lease: "LocalLease"
    services: "ServiceDoors"
    fences: "FenceDoors"
    keyspace: Keyspace  # of the cluster's etcd, as the document names it
    call: Callable[..., Any]  # call(node, operation, /, **params): a step, or a question
    forward: Callable[..., Any]  # forward(node, operation, params, person): an operator's
    tunnel: Callable[..., AbstractContextManager[None]]  # tunnel(path, node, asked): a stream
    certificate: str
    observations: Observations
    knows: Callable[[str], bool] = lambda operation: True  # whether a step's operation exists
    is_going_down: Callable[[], bool] = systemd.host_is_stopping  # this whole host; may raise
    go_down: Callable[[str], None] = systemd.go_down  # go_down("reboot" or "poweroff")
    own_macs: Callable[[], list[str]] = cards.macs  # by which this host is woken; may raise
    send_magic: Callable[..., list[str]] = cards.wake  # send_magic(macs, addresses, own)
    advice: Callable[..., str] = wait_for  # advice(*nodes): what to do about silent members
    also_listen: Callable[[str], None] = lambda address: None  # at another address, too
    listen_only: Callable[[str], None] = lambda address: None  # at one address
    reach: Callable[[str, str], None] = lambda node, address: None  # a member there; may raise

    # What this run of the daemon knows; a restart begins without it.
    is_leaving: bool = False  # the host shuts down: nothing is started any more
    has_told_macs: bool = False  # since this daemon began
    stray_copies_paused_at: str = ""  # hash of the document of the last look for them
    begin_there: dict[str, Callable[[], None]] = field(default_factory=dict)  # etcd of a witness
    joining: dict[str, Node] = field(default_factory=dict)  # being added, no members yet
    images: dict[str, HeldFile] = field(default_factory=dict)  # by token
    receiving: dict[str, "Server"] = field(default_factory=dict)  # by VM and disk
    receiving_lock: threading.Lock = field(default_factory=threading.Lock)
    verifying: dict[str, SharedWork[Any]] = field(default_factory=dict)  # by VM
    adjusted: str = ""  # hash of the document that DRBD was last adjusted to
    unadjusted: set[str] = field(default_factory=set)  # resources newer on disk than in DRBD
    resumed_at: dict[str, float] = field(default_factory=dict)  # by operation, monotonic
    mirrors_tried_at: dict[str, float] = field(default_factory=dict)  # by VM, monotonic
    never_verified_since: dict[str, str] = field(default_factory=dict)  # by VM
    start_attempts: dict[str, StartAttempt] = field(default_factory=dict)  # by VM
    next_start: float = 0.0  # monotonic; before it the daemon starts no VM by itself
    lost_peers: Pauses = field(default_factory=Pauses)  # by resource and what is known of its peer
    marked: dict[str, int] = field(default_factory=dict)  # incarnation that a VM here runs as
    vlan_bridges: threading.Lock = field(default_factory=threading.Lock)  # made, taken away
    nat_networks: bool = True  # whether there are any to look after, as far as is known
    load_sample: LoadSample | None = None  # what was used when somebody last looked
    heard_members: dict[str, bool] = field(default_factory=dict)  # at the last look for events
    looks: Looks = field(default_factory=Looks)
    leases: LeasesSeen = field(default_factory=LeasesSeen)  # of the other nodes
    watched: ServiceLooks = field(default_factory=ServiceLooks)  # the services that run here
    managing: Managing = field(default_factory=Managing)  # of high availability
    served: dict[ServedClaim, int] = field(default_factory=dict)  # serial of the last step
    lines: Lines = field(default_factory=Lines)  # to guests of this node
    leads: dict[str, Lead] = field(default_factory=dict)  # to lines of other nodes, by token

    @functools.cached_property
    def verify_slots(self) -> threading.Semaphore:
        """The verifications that mcv.conf allows at once on this node."""
        return threading.BoundedSemaphore(self.settings.verify_at_once)

    @property
    def name(self) -> str:
        return self.settings.node

    def read(self) -> Cluster:
        """The committed document."""
        return self.consensus.document()

    def both(self) -> list[Cluster]:
        """The committed document and the proposal: a node acts on what both allow."""
        return self.consensus.both()

    def tell(self, what: str, subject: str = "", outcome: str = "done") -> None:
        """Note as an event what the daemon does, or sees, by itself."""
        self.jobs.events.record("mcvd", what, subject, outcome)

    @property
    def job(self) -> Job:
        """The job under way in this thread; a nameless job where there is none."""
        job = jobs_module.current.get()
        return job or Job(secrets.token_hex(4), "", "mcvd", self.name)

    def update(self, name: str, why: str, /, **params: Any) -> Cluster:
        """Propose the change that the job under way is about."""
        return self._update(name, why, params, whole=True)

    def update_beside(self, name: str, why: str, /, **params: Any) -> Cluster:
        """Propose a change before or after a job's work: its commit does not end the job."""
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
        """Propose a change of a plan, under the id that the plan gives it."""
        return self.consensus.propose(change.name, change.params, id=id, who=who, why=why)

    def hold(self, subject: Subject, why: str, timeout: float = 60) -> AbstractContextManager[None]:
        """Hold the subject's lock file on this node; Busy if it is not free within timeout."""
        return self.locks.hold(subject.lock, why, timeout=timeout, subject=subject.name)

    def operate(
        self,
        subjects: Subject | Sequence[Subject],
        title: str,
        prepare: Callable[[], Prepared[A]],
        dry_run: bool = False,
    ) -> A | DryRun:
        """Carry out an operation on its subjects: look, claim, look again, follow the plan.

        Precondition: `prepare` changes nothing, here or elsewhere, and raises Refused where
        the operation cannot end well. It is called before the claim and again under it. A
        plan whose first step brings the claim (a new VM, a new member) has a single look.
        Effect: the plan is carried out, the claims are released; returns the answer. With
        dry_run nothing is changed; returns the plan.
        Errors: Refused, nothing was changed, or nothing but a claim that is released again;
        Failed, all was undone; RepairNeeded and OutcomeOpen, the claim stays.
        """
        with self._as_job():
            prepared = prepare()
            if dry_run:
                return prepared.preview(plan=readable(prepared.plan))
            if brings_claim(prepared.plan):
                return self._carry_out(_ordered(subjects), title, prepared)
            with self.claim(subjects, title):
                return self._carry_out(_ordered(subjects), title, prepare())

    @contextlib.contextmanager
    def _as_job(self) -> Iterator[None]:
        """Give what happens in this block one job, the one under way if there is one.

        Another job of the daemon's runs until the block ends: the loop that resumes entries
        without a job may be another thread.
        """
        if jobs_module.current.get() is not None:
            yield
            return
        job = self.job
        token = jobs_module.current.set(job)
        try:
            with self.jobs.unlisted(job):
                yield
        finally:
            jobs_module.current.reset(token)

    @contextlib.contextmanager
    def claim(self, subjects: Subject | Sequence[Subject], why: str) -> Iterator[None]:
        """Hold the claims of the job under way, taken in the order of the subjects.

        The claims end with the block, unless a journal entry keeps them. A claim that cannot
        be released now is released later, by the loop that looks for claims without a job.
        """
        with self._as_job(), contextlib.ExitStack() as claims:
            for subject in _ordered(subjects):
                with self.hold(subject, why):
                    self.update_beside(subject.claim_change, why, name=subject.name, why=why)
                claims.callback(self._release, subject)
            try:
                yield
            except BaseException as error:
                if not isinstance(error, McvError) or isinstance(error, RepairNeeded):
                    claims.pop_all()
                raise

    def _release(self, subject: Subject) -> None:
        claim = self.read().claim_of(subject)
        if claim is None or claim.operation != self.job.id:
            return
        try:
            self.update_beside(subject.release_change, "", name=subject.name)
        except McvError as error:
            log.warning("the claim on %s is released later: %s", subject.name, error)

    def _carry_out(self, subjects: Sequence[Subject], title: str, prepared: Prepared[A]) -> A:
        """Carry a plan out under the claims of the job under way, which end with it."""
        job = self.job
        entry = Entry(
            operation=job.id,
            title=title,
            who=job.who,
            node=self.name,
            claims=[self._number(subject) for subject in subjects],
            plan=prepared.plan,
            begun=job.began,
            answer=msgspec.to_builtins(prepared.answer),
        )
        with prepared.around:
            self.transaction(job.started).carry_out(entry, lambda step: job.progress(step))
        return prepared.answer

    def _number(self, subject: Subject) -> EntryClaim:
        claim = self.read().claim_of(subject)
        number = (claim.epoch, claim.generation) if claim else (0, 0)
        return EntryClaim(subject=str(subject), number=number)

    def begin_alone(self) -> None:
        """Make this node a cluster of one, its history kept."""
        self.consensus.begin(alone(self.settings, self.certificate))

    def transaction(self, polled: float = -math.inf) -> Transaction:
        """The carrier of plans; `polled`: when this node last asked its peers, monotonic."""
        poll = self.consensus.poll
        return Transaction(self.name, self.journal, self.call, self.make, poll, polled)


def _ordered(subjects: Subject | Sequence[Subject]) -> list[Subject]:
    """The order in which claims are taken, the same for every operation."""
    return [subjects] if isinstance(subjects, Subject) else sorted(set(subjects))
