"""Two nodes without a witness decide: the first online one for both, and each about a silent peer.

There is no office and no lease. Both look every two seconds. What is managed is ordered by the
first online node by name; a node whose peer has been silent for D decides by itself whether to
switch it off. It begins nothing else before the peer is declared offline, since nothing could be
written down. What was decided is kept in a file before any of it is done: a daemon that is killed
goes on with it.
"""

import math
from typing import Protocol

from msgspec.structs import replace

from mcv.ha import timing
from mcv.ha.manager import is_news
from mcv.rules.ha.actions import AnyAction
from mcv.rules.ha.decide import Decision, decide
from mcv.rules.ha.snapshot import NodeSeen, Snapshot
from mcv.rules.ha.status import NodeStatus, Status

NEVER = math.inf  # the silence of a peer that was not heard since this daemon began
WAITING = ("suspect", "fencing", "fence-failed")
SOON = 5.0  # s after which the time that a silent node has been waited for is kept
PATIENCE = 4.0  # s that a peer has to answer a daemon that has just begun


def term_of(generation: int, place: int, above: int) -> int:
    """A term above another one, by the document's generation; odd for the second node by name."""
    term = 2 * generation + place
    return term if term > above else term + 2 * ((above - term) // 2 + 1)


class PairEnv(Protocol):
    """What a node that decides for two may do."""

    @property
    def node(self) -> str:
        """This node's name."""

    async def now(self) -> float:
        """CLOCK_BOOTTIME in seconds: it goes on while the host is suspended."""

    async def look(self) -> Snapshot:
        """What is seen, by silence; NEVER for a peer that was not heard since this daemon began.

        Time and term are the pair's.
        """

    async def term(self, above: int) -> int:
        """A term above this one that the other node never has."""

    async def kept(self) -> Status:
        """What this node has kept; nothing where it has kept nothing."""

    async def keep(self, status: Status) -> None:
        """Keep it, through a loss of power. Raises McvError where that does not work."""

    async def begin(self, action: AnyAction, term: int) -> None:
        """Have an action carried out; what comes of it is seen in a later look."""


class Pair:
    """One daemon of a node of two, as far as it decides."""

    def __init__(self, env: PairEnv) -> None:
        self._env = env
        self._began: float | None = None
        self._written = Status()
        self._term = 0  # 0: the other node decides
        self.status = Status()
        self.looked: Snapshot | None = None

    async def step(self) -> Decision | None:
        """One round: None where the other node decides, or it is too early to know it silent."""
        asked = await self._env.now()
        if self._began is None:
            self._began = asked
            self.status = self._written = await self._env.kept()
        look = self._completed(await self._env.look(), asked)
        self.looked = look
        peer = self._peer(look)
        if peer is None or look.nodes[self._env.node].status != "online":
            return None
        if peer.silence == NEVER and peer.status == "online":
            return None
        if not self._decides(look, peer):
            await self._follow(peer)
            return None
        return await self._decide(look)

    def _completed(self, look: Snapshot, asked: float) -> Snapshot:
        """The look with the time; a peer never heard is as silent as this daemon has looked.

        Of one that was suspect before this daemon began, nothing is forgotten by a restart.
        """
        assert self._began is not None
        watched = max(0.0, asked - self._began)
        suspicion = timing.at_pace(look.ha.pace).suspicion
        nodes = {}
        for name, seen in look.nodes.items():
            if seen.silence == NEVER and watched >= PATIENCE:
                least = suspicion if self._was_suspect(name) else 0.0
                seen = replace(seen, silence=max(least, watched))
            nodes[name] = seen
        return replace(
            look,
            now=asked,
            manager=self._env.node,
            leases=False,
            suspicion=suspicion,
            watched=watched,
            nodes=nodes,
        )

    def _was_suspect(self, name: str) -> bool:
        was = self.status.nodes.get(name)
        return was is not None and was.state in WAITING

    def _peer(self, look: Snapshot) -> NodeSeen | None:
        others = [seen for name, seen in look.nodes.items() if name != self._env.node]
        return others[0] if len(others) == 1 and self._env.node in look.nodes else None

    def _decides(self, look: Snapshot, peer: NodeSeen) -> bool:
        is_first = peer.status != "online" or self._env.node < peer.name
        return is_first or peer.silence >= look.suspicion

    async def _follow(self, peer: NodeSeen) -> None:
        """The other node decides: of it nothing is kept but how it goes down."""
        self._term = 0
        was = self.status.nodes.get(peer.name, NodeStatus())
        freezes = peer.leaving == "freeze" or (not peer.told and was.left == "freeze")
        nodes = {peer.name: NodeStatus(left="freeze")} if freezes else {}
        await self._keep(replace(self.status, nodes=nodes))

    async def _decide(self, look: Snapshot) -> Decision:
        if not self._term:
            self._term = await self._env.term(self.status.term)
        look = self.looked = replace(look, term=self._term)
        decision = decide(look, self.status)
        await self._keep(decision.status)
        for action in decision.actions:
            await self._env.begin(action, self._term)
        return decision

    async def _keep(self, status: Status) -> None:
        """What was decided counts once it is kept."""
        passed = status.clock - self._written.clock
        is_waiting = any(each.state in WAITING for each in status.nodes.values())
        if is_news(self._written, status) or (is_waiting and passed >= SOON):
            await self._env.keep(status)
            self._written = status
        self.status = status
