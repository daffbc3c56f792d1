"""Members that go on without etcd: its majority was given up while this node was away.

Those that were called dead may come back with the data of that majority. It serves them as
before, so it is the others that have to be asked, once at least, before anything is done by it.
"""

import logging
from collections.abc import Callable, Mapping

from mcv.consensus.unanimous.contact import SYNC, Contact, said_of
from mcv.consensus.unanimous.wire import Observation, Questions
from mcv.document.lineage import relation
from mcv.errors import Diverged, McvError, Refused

log = logging.getLogger(__name__)


class Left:
    """What one node has seen of that since its start."""

    def __init__(self, contact: Contact, questions: Questions) -> None:
        self._contact = contact
        self._questions = questions
        self._newer: set[str] = set()  # members whose document this node has to take
        self.diverged: dict[str, str] = {}  # the others: theirs, and this node's, went on
        self.is_asked = False

    @property
    def is_known_to_be_none(self) -> bool:
        """Whether the members were asked, and none that answered has left etcd."""
        return self.is_asked and not (self._newer or self.diverged)

    def look(self, answers: Mapping[str, Observation | McvError]) -> None:
        """Look at what members answered; this node's document is etcd's by now."""
        for name, answer in answers.items():
            if isinstance(answer, McvError):
                continue  # what it was seen to have, it has
            self._newer.discard(name)
            self.diverged.pop(name, None)
            if answer.epoch > self._contact.store.read().epoch.number:
                self._look_at(name)
        self.is_asked = True

    def _look_at(self, name: str) -> None:
        """Note a member whose document began an epoch that etcd does not have."""
        (own, hash_) = self._contact.store.committed()
        try:
            fetched = self._questions.fetch(name, hash_)
        except McvError as error:
            log.info("the document of %s: %s", name, error)
            return
        theirs = fetched.document
        if theirs.store is not None or own.epoch.id not in {each.id for each in theirs.epochs}:
            return  # etcd's own, which this node reads; or of a node that is no member yet
        if relation(own, hash_, theirs, fetched.hash) == "diverged":
            log.error("%s has left etcd, and this node went on there", name)
            self.diverged[name] = fetched.hash
        else:
            self._newer.add(name)

    def require_none(self, ask: Callable[[], None]) -> None:
        """Raise Diverged, or Refused, where members have gone on without etcd.

        `ask` has all of them asked, which is done once at least.
        """
        if not self.is_asked:
            ask()
        if self.diverged:
            holds = said_of(sorted(self.diverged), "has", "have")
            raise Diverged(f"{holds} gone on without etcd, whose majority was given up.", SYNC)
        if self._newer:
            agree = said_of(sorted(self._newer), "goes", "go")
            raise Refused(
                f"{agree} on without etcd, and {self._contact.me} has not that document yet.",
                "It takes it by itself within seconds: mcv info",
            )
