"""The values of a story's cluster: its hosts, and its document in a small."""

from dataclasses import dataclass, field

from mcv.document.availability import EvidenceKind, Ha
from mcv.document.ha_entries import FailoverDomain, HaEntry, Tie
from mcv.rules.ha.actions import ServiceAction
from mcv.rules.ha.snapshot import ClaimSeen, Leaving, Result
from tests.ha.story_keys import Keys


@dataclass
class Job:
    """An action that a host carries out until a moment."""

    action: ServiceAction
    ends: float


@dataclass
class Host:
    """A machine, and mcv's programs on it."""

    name: str
    is_on: bool = False
    lives: int = 0  # of mcvd
    is_linked: bool = False
    boots: int = 0
    up_at: float = 0.0  # when mcvd has started
    voter: bool = True
    frozen_until: float = 0.0
    manages: bool = True
    stalled: set[str] = field(default_factory=set)  # "rw", "update": mcvd does not reach the store
    leaving: Leaving = ""
    leaving_since: float = 0.0
    reboots: bool = False
    runs: set[str] = field(default_factory=set)
    jobs: dict[str, Job] = field(default_factory=dict)
    lease_until: float = 0.0  # by its own clock
    leapt: float = 0.0  # s that its clock has leapt
    device: str = ""  # what its fence device does: "" for none, ok, hang, lie, wrong-plug
    is_tested: bool = False  # whether the plug was
    dies_in: int | None = None  # calls of its manager until that is killed

    @property
    def boot(self) -> str:
        return f"{self.name}-{self.boots}"


@dataclass(frozen=True)
class DocNode:
    """A member in the document."""

    status: str = "online"
    evidence: EvidenceKind | None = None
    draining: bool = False
    maintenance: bool = False
    memory: int = 0


@dataclass(frozen=True)
class DocService:
    """A managed service in the document, and what its newest action has come to."""

    node: str
    home: str
    entry: HaEntry
    live: bool
    memory: int = 0
    claim: ClaimSeen | None = None
    places: dict[str, str] | None = None  # what forbids each node; None: shared storage
    result: Result | None = None


@dataclass
class Store:
    """What the majority agrees on: the document, and the keys beside it."""

    nodes: dict[str, DocNode]
    services: dict[str, DocService]
    ha: Ha
    domains: dict[str, FailoverDomain]
    ties: tuple[Tie, ...]
    keys: Keys
    generation: int = 1
