"""What every other room knows of agreement: the document, a change of it, and contact."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any, Protocol

from mcv.document.availability import EvidenceKind
from mcv.document.model import Cluster
from mcv.errors import McvError
from mcv.etcd.requests import Compare, Operation


class Consensus(Protocol):
    """One node's part in agreeing on the document, whichever way the members agree."""

    def document(self) -> Cluster:
        """The committed document, as this node holds it."""

    def committed(self) -> tuple[Cluster, str]:
        """The committed document and its hash, as they are at one instant."""

    def proposal(self) -> tuple[Cluster, str] | None:
        """The document that this node has accepted and does not know to be committed."""

    def both(self) -> list[Cluster]:
        """The committed document and the proposal, if any: a node acts on what both allow."""

    def generations(self) -> list[Cluster]:
        """The committed document and its ancestors as far as they are kept, the newest first."""

    def documents(self, nodes: Iterable[str]) -> Mapping[str, Cluster | McvError]:
        """The committed document of each of the nodes, or the error in place of its answer."""

    def propose(
        self,
        name: str,
        params: dict[str, Any],
        *,
        id: str,
        who: str,
        why: str,
        compares: Sequence[Compare] = (),
        puts: Sequence[Operation] = (),
    ) -> Cluster:
        """Have a change committed, once for its id, and return a document that contains it.

        The change is made only while the comparisons hold, which are about other keys of etcd,
        and `puts` are carried out in the same transaction: Refused where a comparison does not
        hold, and for either where the document does not lie there. A change without effect
        carries nothing out.
        Raises Refused where the newest document does not allow the change or where a member
        that has to take part does not answer: nothing was changed. Raises OutcomeOpen when
        the change may be committed or not.
        """

    @property
    def schema(self) -> int:
        """The latest schema of the document that every online member is known to read."""

    @property
    def damage(self) -> McvError | None:
        """What of this node's own state cannot be read; None where all of it can.

        With damage the node serves reads, from the history where the document itself is
        concerned, and takes part in nothing: it accepts, starts and changes nothing.
        """

    @property
    def in_contact(self) -> bool:
        """Whether this node may start something new by the document that it holds."""

    def require_contact(self) -> None:
        """Raise Refused, or Diverged, with what helps, unless this node is in contact."""

    def require_right(self) -> None:
        """Raise Refused, or Diverged, unless this node may promote a replica or start a guest now.

        It is in contact, and where the document lies in etcd a majority has just shown that this
        node's is the newest.
        """

    @property
    def heard(self) -> Set[str]:
        """The members that have answered since this node started and hold nothing newer."""

    @property
    def diverged(self) -> Mapping[str, str]:
        """The members whose document neither contains this node's nor is contained in it."""

    @property
    def rejected_by(self) -> Set[str]:
        """The online members that reject this node's certificate: it is no member any more."""

    def poll(self) -> None:
        """Ask the other members once, take a newer document, and finish an open proposal."""

    def declare(
        self,
        dead: list[str],
        *,
        id: str,
        who: str,
        why: str,
        alive: Callable[[], list[str]],
        survivors: Iterable[str] = (),
        leave_etcd: bool = False,
        evidence: EvidenceKind | None = None,
    ) -> Cluster:
        """Declare members dead: they are offline in the document that is returned.

        `evidence` says why, on two nodes whose fence devices are armed. With `leave_etcd` they
        were the majority of etcd, where the document lies, and the survivors agree unanimously
        from then on.

        Precondition: an operator has said so, or they were seen to be without power. `alive` names
        those of them that answer after all; it is asked again before any other node holds the
        proposal, and withdraws it.
        Raises PeerUnreachable, Refused or LookAgain where nothing was changed, OutcomeOpen
        where the declaration may be committed or not.
        """

    def resolve_divergence(
        self, base: Cluster, params: dict[str, Any], *, id: str, who: str, why: str
    ) -> Cluster:
        """Commit the change cluster.sync of base: it names the ends of the other documents."""

    def begin(self, document: Cluster) -> None:
        """Hold another cluster's document from now on: this node joins it, or is blank again.

        The history is kept; a proposal and contact are not.
        """

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Call back after each document that this node learns to be committed."""
