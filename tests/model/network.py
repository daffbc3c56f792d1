"""The wire between daemons: calls that are late, lost on either way, doubled, or refused."""

import json
import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcv.errors import CallLost, McvError, NotMember, NotThatNode, PeerUnreachable
from mcv.rpc.auth import Caller
from mcv.rpc.peers import Address
from mcv.rpc.wire import DEAD
from tests.model.scheduler import Scheduler, Task

if TYPE_CHECKING:
    from tests.model.node import SimNode

CONNECT = 3.0  # seconds until a connection is given up


@dataclass
class Conditions:
    """How bad the network is: each a probability for one call."""

    lost: float = 0.01
    answer_lost: float = 0.02
    doubled: float = 0.03
    late: float = 0.06

    @classmethod
    def drawn(cls, chance: random.Random) -> "Conditions":
        """From mild to foul."""
        foul = chance.choice([0.2, 1.0, 1.0, 4.0])
        return cls(0.01 * foul, 0.02 * foul, 0.03 * foul, 0.06 * foul)


CALM = Conditions(0.0, 0.0, 0.0, 0.0)


@dataclass
class _Reply:
    """What came of a call, for whoever still waits for it."""

    done: bool = False
    lost: bool = False
    answer: Any = None
    error: McvError | None = None
    waiting: list[tuple[Task, int]] = field(default_factory=list)


class Network:
    """Carries calls from node to node over links that can be cut."""

    def __init__(
        self,
        scheduler: Scheduler,
        chance: random.Random,
        nodes: "dict[str, SimNode]",
        say: Callable[[str], None],
        alarm: Callable[[str, str], None],
    ) -> None:
        self.cut: set[frozenset[str]] = set()
        self.conditions = Conditions()
        self._scheduler = scheduler
        self._chance = chance
        self._nodes = nodes
        self._say = say
        self._alarm = alarm

    def linked(self, one: str, other: str) -> bool:
        return one == other or frozenset((one, other)) not in self.cut

    def at(self, address: str) -> "SimNode":
        return next(node for node in self._nodes.values() if node.address == address)

    def peers(self, me: "SimNode") -> Callable[..., "Peers"]:
        def make(identity: Any, find: Callable[[str], Address]) -> Peers:
            return Peers(self, me, identity, find)

        return make

    def call(
        self,
        me: str,
        certificate: str,
        address: Address,
        node: str,
        operation: str,
        params: dict[str, Any],
        context: dict[str, Any],
        timeout: float,
    ) -> Any:
        scheduler, chance = self._scheduler, self._chance
        scheduler.pause()
        target = self.at(address.host)
        if not target.host_up or not self.linked(me, node):
            scheduler.sleep(CONNECT)
            raise PeerUnreachable(f"{node} does not answer (timed out).")
        daemon, life = target.daemon, target.life
        if daemon is None or chance.random() < self.conditions.lost / 2:
            raise PeerUnreachable(f"{node} does not answer (refused).")
        if life.frozen:
            scheduler.sleep(CONNECT)
            raise PeerUnreachable(f"{node} does not answer (timed out).")
        if address.certificate_pem != target.certificate:
            raise NotThatNode(f"{node} shows another certificate.")
        if daemon.calls.trusted().get(me) != certificate:
            raise NotMember(f"{node} does not accept this node's certificate.")
        sent = json.dumps([params, context])
        reply = _Reply()

        def serve(reply: _Reply) -> None:
            given, about = json.loads(sent)
            try:
                reply.answer = json.loads(
                    json.dumps(daemon.calls.handle(Caller("peer", me), operation, given, about))
                )
            except McvError as error:
                reply.error = type(error)(*error.args)
            except Exception:
                reply.error = CallLost(f"{node} broke off.")
                self._alarm("internal error", f"{operation} on {node}: {traceback.format_exc()}")
            except BaseException:
                reply.error = CallLost(f"{node} broke off.")
                raise
            finally:
                reply.lost = self._loses_answer(me, node)
                if not reply.lost:
                    reply.done = True
                    scheduler.wake(reply.waiting)

        until = scheduler.now + timeout
        if chance.random() >= self.conditions.lost / 2:
            scheduler.spawn(life, lambda: serve(reply), f"{operation} from {me}", self._delay())
            if chance.random() < self.conditions.doubled:
                again = 0.01 + chance.random() * chance.choice([0.1, 8.0])
                # Nobody waits for what the double is answered.
                scheduler.spawn(life, lambda: serve(_Reply()), f"{operation} from {me}", again)
                self._say(f"{me} -> {node}: {operation} is doubled")
        else:
            reply.lost = True
            self._say(f"{me} -> {node}: {operation} is lost")
        self._wait(reply, until, lambda: life.alive and self.linked(me, node))
        if not reply.done:
            self._say(f"{me} -> {node}: {operation} has no answer")
            raise CallLost(f"{node} gave no answer to {operation}.")
        if reply.error is not None:
            raise reply.error
        return reply.answer

    def _wait(self, reply: _Reply, until: float, intact: Callable[[], bool]) -> None:
        """Wait for an answer until the deadline, or until the connection is seen to be dead.

        TCP delivers an answer or breaks the connection: the kernel probes it, and ends a call of
        minutes or hours soon after its packets are lost, as mcv.rpc.wire.watch has it. A hung
        daemon's kernel acknowledges, and such a call lasts until its deadline.
        """
        scheduler = self._scheduler
        while not reply.done and scheduler.now < until:
            scheduler.wait(reply.waiting, min(until, scheduler.now + DEAD))
            if reply.lost or not intact():
                return

    def _loses_answer(self, me: str, node: str) -> bool:
        return not self.linked(me, node) or self._chance.random() < self.conditions.answer_lost

    def _delay(self) -> float:
        if self._chance.random() >= self.conditions.late:
            return 0.0
        return self._chance.random() * self._chance.choice([0.05, 1.0, 5.0, 12.0])


class Peers:
    """One daemon's connections, as mcv.rpc.peers has them."""

    def __init__(
        self, network: Network, me: "SimNode", identity: Any, find: Callable[[str], Address]
    ) -> None:
        self._network = network
        self._me = me
        self._identity = identity
        self._find = find

    def call(
        self,
        node: str,
        operation: str,
        /,
        params: dict[str, Any],
        context: dict[str, Any],
        timeout: float,
    ) -> Any:
        address = self._find(node)
        pem = self._identity.certificate_pem
        return self._network.call(
            self._me.name, pem, address, node, operation, params, context, timeout
        )

    def stream(self, node: str, asked: dict[str, str]) -> Any:
        raise PeerUnreachable(f"{node} carries no streams in a model.")
