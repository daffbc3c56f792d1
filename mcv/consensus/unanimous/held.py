"""What a node holds itself of the document and knows of the members, however they agree."""

from collections.abc import Iterable, Set

from mcv.consensus.unanimous.contact import Contact
from mcv.consensus.unanimous.wire import Ask, Questions
from mcv.document.model import Cluster
from mcv.document.store import Store
from mcv.errors import McvError


class Held:
    """The part of a `Consensus` that is the same behind either door."""

    def __init__(self, me: str, store: Store, ask: Ask) -> None:
        self.me = me
        self.store = store
        self.contact = Contact(me, store)
        self.questions = Questions(ask)

    def document(self) -> Cluster:
        return self.store.read()

    def committed(self) -> tuple[Cluster, str]:
        return self.store.committed()

    def proposal(self) -> tuple[Cluster, str] | None:
        return self.store.proposal()

    def both(self) -> list[Cluster]:
        return self.store.both()

    def generations(self) -> list[Cluster]:
        return self.store.generations()

    def documents(self, nodes: Iterable[str]) -> dict[str, Cluster | McvError]:
        return {
            name: answer if isinstance(answer, McvError) else answer.document
            for name, answer in self.questions.fetch_all(nodes).items()
        }

    @property
    def schema(self) -> int:
        return self.contact.schema

    @property
    def damage(self) -> McvError | None:
        return self.contact.damage

    @property
    def heard(self) -> Set[str]:
        return self.contact.heard

    @property
    def rejected_by(self) -> Set[str]:
        return self.contact.rejected_by
