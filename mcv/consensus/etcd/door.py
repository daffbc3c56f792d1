"""The document in etcd: what it is read from, and the one transaction that replaces it."""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from mcv.document.model import Cluster, decode, digest, encode
from mcv.errors import LookAgain, McvError, NotUnderstood, Refused
from mcv.etcd.answers import KeyValue
from mcv.etcd.client import Keyspace
from mcv.etcd.keys import ClusterKeys
from mcv.etcd.requests import Compare, Operation, absent, delete, get, put, unchanged

KEPT = 16  # bodies: the newest document and those before it
MOST = 1024 * 1024  # bytes that a body may have in etcd, whose own limit is 1.5 MiB
MOST_TEXT = 64 * 1024**2  # bytes that it may have unpacked


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Which document is the newest, and the hashes of those whose bodies are kept, oldest first."""

    epoch: str
    number: int
    generation: int
    hash: str
    parent: str
    bodies: tuple[str, ...]


class Shown(NamedTuple):
    """A head, and the revision at which it was written."""

    head: Head
    revision: int


class Beside(NamedTuple):
    """What a swap hangs on besides the head, and what is done with it: other keys of etcd."""

    compares: Sequence[Compare] = ()
    puts: Sequence[Operation] = ()


ALONE = Beside()


class Door:
    """One cluster's document in etcd. Reads are linearizable: a majority has what they show."""

    def __init__(self, etcd: Keyspace, keys: ClusterKeys) -> None:
        self._etcd = etcd
        self.keys = keys

    def each(self) -> "list[Door]":
        """The document as each member of etcd has it by itself: it may be old."""
        return [Door(alone, self.keys) for alone in self._etcd.each()]

    def head(self) -> Shown | None:
        """The newest head; None before a document lies here. Raises PeerUnreachable."""
        found = self._etcd.read(self.keys.head)
        for each in found.kvs:
            return Shown(_head(each.value), each.mod_revision)
        return None

    def chain(self, shown: Shown, since: str) -> list[Cluster]:
        """The documents from the one after the hash `since` to the head, the oldest first.

        All that are kept where that hash is not among them. Raises LookAgain where the bodies
        were replaced meanwhile, NotUnderstood where one is not what its name says.
        """
        bodies = shown.head.bodies
        wanted = bodies[bodies.index(since) + 1 :] if since in bodies else bodies
        if shown.head.parent == since:
            wanted = bodies[-1:]
        found = self._etcd.change([], [get(self.keys.body(hash_)) for hash_ in wanted]).found()
        chain = []
        for hash_, body in zip(wanted, found, strict=True):
            text = body.value(self.keys.body(hash_))
            if text is None:
                raise LookAgain("The document has moved on.")
            chain.append(_unpacked(hash_, text))
        return chain

    def marks(self) -> list[KeyValue]:
        """The marks of stale replicas. Raises PeerUnreachable."""
        return self._etcd.below(self.keys.marks).kvs

    def swap(
        self,
        shown: Shown,
        new: Cluster,
        beside: Beside = ALONE,
        deletes: Sequence[tuple[Compare | None, Operation]] = (),
    ) -> bool:
        """Replace the newest document by its child; False where another came before.

        With it go the keys of `deletes`; False too where one of them has changed meanwhile.
        Raises Refused, with nothing changed, where a comparison does not hold or the document
        is too large; PeerUnreachable where no member has the change, CallLost where one may.
        """
        head = _next(shown.head, new)
        operations = self._writing(head, new)
        gone = set(shown.head.bodies) - set(head.bodies)
        operations += [delete(self.keys.body(hash_)) for hash_ in sorted(gone)]
        operations += [*beside.puts, *(operation for _, operation in deletes)]
        is_newest = unchanged(self.keys.head, shown.revision)
        still = [compare for compare, _ in deletes if compare is not None]
        looks = [get(self.keys.head), *(get(compare.key) for compare in still)]
        done = self._etcd.change([is_newest, *beside.compares, *still], operations, looks)
        if done.succeeded:
            return True
        found, *others = done.found()
        revisions = [each.kvs[0].mod_revision if each.kvs else 0 for each in others]
        is_as_read = revisions == [compare.mod_revision for compare in still]
        if found.kvs and found.kvs[0].mod_revision == shown.revision and is_as_read:
            raise Refused("What this change depends on has changed meanwhile.", "Look again.")
        return False

    def seed(self, document: Cluster) -> bool:
        """Put the first document here; False where one is here already. Raises as `swap`."""
        hash_ = digest(document)
        head = _head_of(document, hash_, (hash_,))
        operations = self._writing(head, document)
        return self._etcd.change([absent(self.keys.head)], operations).succeeded

    def _writing(self, head: Head, document: Cluster) -> list[Operation]:
        return [
            put(self.keys.body(head.hash), _packed(document)),
            put(self.keys.head, msgspec.json.encode(head)),
        ]


def _next(head: Head, new: Cluster) -> Head:
    hash_ = digest(new)
    return _head_of(new, hash_, (*head.bodies, hash_)[-KEPT:])


def _head_of(document: Cluster, hash_: str, bodies: tuple[str, ...]) -> Head:
    return Head(
        epoch=document.epoch.id,
        number=document.epoch.number,
        generation=document.generation,
        hash=hash_,
        parent=document.parent,
        bodies=bodies,
    )


def _head(text: bytes) -> Head:
    try:
        return msgspec.json.decode(text, type=Head)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise NotUnderstood(f"What etcd holds as the newest document is none: {error}.") from error


def _packed(document: Cluster) -> bytes:
    text = zlib.compress(encode(document).encode())
    if len(text) > MOST:
        raise Refused(
            f"The document has {len(text)} bytes by now, and etcd takes {MOST}.",
            "The members can agree unanimously again: then it has no limit.",
        )
    return text


def _unpacked(hash_: str, packed: bytes) -> Cluster:
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(packed, MOST_TEXT)
        document = decode(text)
    except (zlib.error, McvError) as error:
        raise NotUnderstood(f"What etcd holds as document {hash_[:16]} is none: {error}.") from (
            error
        )
    if digest(document) != hash_:
        raise NotUnderstood(f"What etcd holds as document {hash_[:16]} is another one.")
    return document
