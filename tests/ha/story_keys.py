"""etcd as a story has it: keys, revisions, transactions that pass at once or not at all."""

from mcv.ha import values
from mcv.ha.env import Answer, Entry, NothingNewer, Put, Txn, Unchanged
from mcv.ha.timing import Timing
from mcv.ha.values import Held, Taken
from mcv.rules.ha import status as kept


class Keys:
    """All keys with the revision of their last change."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._revision = 0

    def commit(self, txn: Txn) -> Answer:
        holds = all(self._holds(compare) for compare in txn.compares)
        if holds and txn.puts:
            self._revision += 1
            for put in txn.puts:
                self._put(put)
        read = {
            key: entry
            for key, entry in self._entries.items()
            if any(key.startswith(prefix) for prefix in txn.reads)
        }
        return Answer(holds, self._revision, read)

    def _put(self, put: Put) -> None:
        if put.value is None:
            self._entries.pop(put.key, None)
        else:
            self._entries[put.key] = Entry(put.value, self._revision)

    def _holds(self, compare: Unchanged | NothingNewer) -> bool:
        if isinstance(compare, Unchanged):
            return self.revision_of(compare.key) == compare.revision
        newer = (key for key, entry in self._entries.items() if entry.revision > compare.revision)
        return not any(key.startswith(compare.prefix) for key in newer)

    def revision_of(self, key: str) -> int:
        """The revision of a key's last change, 0 for no such key."""
        entry = self._entries.get(key)
        return entry.revision if entry else 0

    # What the story looks at, and what nodes write

    @property
    def status(self) -> kept.Status:
        """What the manager keeps."""
        entry = self._entries.get(values.STATUS)
        return kept.decode(entry.value) if entry else kept.Status()

    def renew(self, node: str, boot: str, periods: Timing) -> None:
        """Write a node's lease anew."""
        held = Held.by(periods, boot, self._revision, proves=True)
        self.commit(Txn((), (Put(values.lease_key(node), held.encode()),)))

    def take(self, node: str, by: str, evidence: str) -> None:
        taken = Taken(by, evidence)
        self.commit(Txn((), (Put(values.lease_key(node), taken.encode()),)))

    def give_back(self, node: str) -> None:
        """Delete a node's lease, as its own process does once nothing runs there."""
        self.commit(Txn((), (Put(values.lease_key(node), None),)))
