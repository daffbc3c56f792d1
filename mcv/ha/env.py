"""The world as high availability sees it: what a node has behind it, and the simulator too.

The verbs are coroutines: in a node each is carried out at once, in the simulator any of them may
be where a process is stopped, killed, or overtaken. Nothing in mcv/ knows which.
"""

from dataclasses import dataclass
from typing import Protocol

from mcv.system.lease import LeaseFile as LeaseFile


@dataclass(frozen=True)
class Entry:
    """What etcd has at a key: the text, and the revision of its last change."""

    value: str
    revision: int


@dataclass(frozen=True)
class Unchanged:
    """A comparison: the key is at this revision of its last change; 0: there is no such key."""

    key: str
    revision: int


@dataclass(frozen=True)
class NothingNewer:
    """A comparison: no key of this prefix was written after the revision."""

    prefix: str
    revision: int


Compare = Unchanged | NothingNewer


@dataclass(frozen=True)
class Put:
    """A key to be written; None deletes it."""

    key: str
    value: str | None


@dataclass(frozen=True)
class Txn:
    """All puts where all comparisons hold, else nothing; the keys of `reads` either way."""

    compares: tuple[Compare, ...] = ()
    puts: tuple[Put, ...] = ()
    reads: tuple[str, ...] = ()  # prefixes


@dataclass(frozen=True)
class Answer:
    """The outcome of a transaction that passed consensus.

    `revision` is the store's after it; a key that this transaction wrote has this revision.
    `entries` are what stands there after it.
    """

    holds: bool
    revision: int
    entries: dict[str, Entry]


class Unknown(Exception):
    """No answer in time: the transaction may be committed, now or later, or not."""


@dataclass(frozen=True)
class Leftovers:
    """What of mcv's is on a host: marked guests, tasks with an open replica, Primary roles."""

    running: tuple[str, ...] = ()  # processes, in words
    stuck: tuple[str, ...] = ()  # tasks in state D: SIGKILL does not end them
    primary: tuple[str, ...] = ()  # resources
    starting: tuple[str, ...] = ()  # VMs whose start libvirt has not answered

    def __bool__(self) -> bool:
        return bool(self.running or self.stuck or self.primary or self.starting)


@dataclass(frozen=True)
class Facts:
    """What the handler decides by: of the document, as the small file beside config.json has it.

    `waits`: the owner does not go on alone while its peer is online in the document.
    """

    owner: str
    peer: str
    peer_is_offline: bool
    head: str  # what etcd's head says of this document
    waits: bool = False
    is_online: bool = True  # this node, in the document
    when: str = ""  # the time of day, for people


class Env(Protocol):
    """What every part of high availability may do."""

    @property
    def node(self) -> str:
        """This node's name."""

    @property
    def boot(self) -> str:
        """The id of this boot of the host."""

    async def now(self) -> float:
        """CLOCK_BOOTTIME in seconds: it goes on while the host is suspended."""

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""

    async def txn(self, txn: Txn) -> Answer:
        """Have a transaction committed; raises Unknown."""

    async def lease_file(self) -> LeaseFile | None:
        """What the lease's process has published; None where there is nothing that can be read."""

    async def say(self, text: str) -> None:
        """One line for the journal."""


class LeaseEnv(Env, Protocol):
    """What mcv-lease may do besides."""

    async def send(self, txn: Txn) -> int:
        """Send a transaction and go on; the number is for `outcome`."""

    async def outcome(self, number: int) -> Answer | Unknown | None:
        """The answer to what was sent; None while it may still come. An answer comes once."""

    async def promised(self) -> float | None:
        """When the newest round was begun in which all members promised not to take the lease."""

    async def publish(self, file: LeaseFile) -> bool:
        """Write /run/mcv/lease; whether that worked."""

    async def withdraw(self) -> None:
        """Remove /run/mcv/lease."""

    async def open_watchdog(self, timeout: float, *, or_less: bool = False) -> float:
        """Open the watchdog, or keep the descriptor that systemd has, and set its timeout.

        Opening it feeds it, and closing it does as well. `or_less`: it keeps the one that it has
        where that is shorter. What it counts from now.
        """

    async def set_watchdog(self, timeout: float) -> None:
        """Set the timeout of the open watchdog; that feeds it."""

    async def feed(self, until: float | None) -> bool:
        """Look at the clock, and feed the watchdog if it is before `until`; whether it was.

        Nothing lies between the look and the feeding: two system calls.
        """

    async def close_watchdog(self) -> None:
        """Have the watchdog count no more."""

    async def leftovers(self) -> Leftovers:
        """What of mcv's is on this host, looked for in /proc and in DRBD, not in libvirt."""

    async def kill(self) -> None:
        """SIGKILL the guests and all tasks that hold a replica open; take addresses away."""

    async def close_gate(self) -> bool:
        """Try to hold the start gate alone, until `open_gate`; whether that succeeded."""

    async def open_gate(self) -> None:
        """Let starts through the gate again."""

    async def reset(self) -> None:
        """Reset the host now; does not return."""


class HandlerEnv(Env, Protocol):
    """What the fence-peer handler may do besides."""

    async def facts(self, resource: str) -> Facts | None:
        """What the document says of a resource, by the small file."""

    async def outdate(self, resource: str, peer: str) -> bool | None:
        """Ask the peer to outdate its replica: whether it has.

        None where it does not answer, or does not know yet that this node is the owner; False
        where its replica is written there, or may be outdated soon.
        """


class StartEnv(Env, Protocol):
    """What a start, a promotion, an arrival or a resume may do besides."""

    async def enter_gate(self) -> None:
        """Hold the start gate together with other starts; waits while it is held alone."""

    async def leave_gate(self) -> None:
        """Hold it no more."""

    async def head_here(self) -> str:
        """The text of etcd's head that this node's config.json is."""


class MemberEnv(Env, Protocol):
    """What mcvd may do besides, to keep its node's lease while etcd has no quorum."""

    async def members(self) -> frozenset[str]:
        """All other members of the document, offline ones too."""

    async def is_online(self, node: str) -> bool:
        """Whether the document calls the node online."""

    async def head_here(self) -> str:
        """The text of etcd's head that this node's config.json is."""

    async def ask_promises(self, members: frozenset[str], head: str) -> frozenset[str]:
        """Ask all at once for the promise of failsafe.py; those that gave it."""

    async def ask_renewal(self, members: frozenset[str]) -> bool:
        """Ask all at once to write this node's lease anew; whether one has."""

    async def publish_promises(self, sent: float) -> None:
        """Write /run/mcv/failsafe."""
