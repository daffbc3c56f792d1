"""Calls between daemons: those that come, those that go, and the addresses and keys for both."""

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from mcv.api import dispatch
from mcv.cluster import joining
from mcv.document.model import Node
from mcv.errors import CallLost, NoAnswer, NotFound, OutcomeOpen, PeerUnreachable
from mcv.host import Host
from mcv.rpc.auth import Caller
from mcv.rpc.peers import Address, Peers
from mcv.rules.rights import Person
from mcv.settings import Settings, is_reachable
from mcv.system.answers import plain
from mcv.transaction.executor import escort

ASK = 3.0  # s that a node has to answer before an operator's call is forwarded to it
FORMER = 20  # generations in which a removed member is still found


class Context(Struct, frozen=True, kw_only=True):
    """What accompanies a call: the caller's epoch and address; a plan's escort; an operator.

    `who` is the name of `person`, for members of earlier versions.
    """

    epoch: tuple[int, str]
    address: str
    escort: dict[str, Any] | UnsetType = UNSET
    who: str | UnsetType = UNSET
    person: Person | UnsetType = UNSET


class Calls:
    """The calls of one daemon. `host` and `peers` are filled in before the first call."""

    host: Host
    peers: Peers

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._moved: dict[str, str] = {}  # addresses that members call from, by node

    def handle(
        self, caller: Caller, operation: str, params: dict[str, Any], context: dict[str, Any]
    ) -> Any:
        """Serve a call from the wire."""
        if caller.kind == "peer":
            self.host.observations.hear(caller.name)
            self._learn_address(caller.name, context.get("address"))
        return dispatch.serve(self.host, caller, operation, params, context)

    def _learn_address(self, node: str, address: Any) -> None:
        """Remember the address that a member gives, while the document has another one.

        The key is checked at every connection, so an address needs no trust. A member whose
        host name resolves to no address gives none, and stays where the document has it.
        """
        member = self.host.read().nodes.get(node)
        is_address = isinstance(address, str) and is_reachable(address)
        if member is not None and is_address and address != member.ip_address:
            self._moved[node] = address
        else:
            self._moved.pop(node, None)

    def call(
        self, node: str, operation: str, /, *, timeout: float | None = None, **params: Any
    ) -> Any:
        """Call an operation on a node, this node included, with this thread's escort."""
        context = plain(self._context())
        if node == self._settings.node:
            return dispatch.perform(self.host, operation, params, context, node)
        limit = timeout if timeout is not None else dispatch.row(operation).timeout
        try:
            answer = self.peers.call(node, operation, params, context, limit)
        except CallLost as error:
            if not dispatch.row(operation).asks:
                raise
            # A question changes nothing, whether it was heard or not.
            said = error.message.partition("; whether")[0].rstrip(".")
            hint = self.host.advice(node)
            raise NoAnswer(f"{said}; nothing was changed.", hint) from error
        self.host.observations.hear(node)
        return answer

    def forward(self, node: str, operation: str, params: dict[str, Any], person: Person) -> Any:
        """Hand an operator's call to the node that carries it out.

        Raises PeerUnreachable where nothing was sent, OutcomeOpen where the answer was lost.
        """
        context = plain(self._context(person))
        limit = dispatch.row(operation).timeout
        try:
            self.call(node, "config.poll", timeout=ASK)
        except (PeerUnreachable, CallLost) as error:
            raise PeerUnreachable(
                f"{node}, which has to carry this out, does not answer, so nothing was changed.",
                self.host.advice(node),
            ) from error
        try:
            return self.peers.call(node, operation, params, context, limit)
        except CallLost as error:
            raise OutcomeOpen(
                f"{node} did not say what became of it: {error.message}", "See: mcv job list"
            ) from error

    def _context(self, person: Person | None = None) -> Context:
        epoch = self.host.read().epoch
        return Context(
            epoch=(epoch.number, epoch.id),
            address=self.host.settings.address,
            escort=escort.get() or UNSET,
            who=person.name if person else UNSET,
            person=person or UNSET,
        )

    def reach(self, node: str, address: str) -> None:
        """Have a member give a sign of life at an address. Raises McvError where it does not."""
        key = self.host.read().node(node).certificate
        peers = self.peers.only(Address(address, self._settings.port, key))
        try:
            peers.call(node, "config.poll", {}, plain(self._context()), ASK)
        finally:
            peers.close()

    def find(self, node: str) -> Address:
        """The address and key of a member, a joining node, or a member just removed."""
        member = self.host.read().nodes.get(node) or self.host.joining.get(node)
        member = member or self._former(node)
        if member is None:
            raise NotFound(f"There is no node {node}.", "See: mcv info")
        address = self._moved.get(node, member.ip_address)
        return Address(address, self._settings.port, member.certificate)

    def _former(self, node: str) -> Node | None:
        generations = self.host.consensus.generations()[:FORMER]
        return next((one.nodes[node] for one in generations if node in one.nodes), None)

    def trusted(self) -> Mapping[str, str]:
        """The keys that open the peers' port: the members', and those of a staged join."""
        keys = {name: node.certificate for name, node in self.host.read().nodes.items()}
        stage = joining.staged(self.host)
        if stage is not None:
            keys.update({member.name: member.certificate for member in stage.members})
        keys.pop(self._settings.node, None)
        return keys
