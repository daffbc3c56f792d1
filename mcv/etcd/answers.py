"""What etcd answers, as typed values that are checked on arrival.

The gateway writes 64-bit numbers as text and leaves out what is zero, empty or false.
"""

from typing import Literal, TypeVar

import msgspec

from mcv.errors import NotUnderstood

T = TypeVar("T")

Alarm = Literal["NONE", "NOSPACE", "CORRUPT"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, or a part of one."""


class Header(Answer, frozen=True, kw_only=True):
    """Who answered, and at which revision of the whole store."""

    cluster_id: int = 0
    member_id: int = 0
    revision: int = 0
    raft_term: int = 0


class KeyValue(Answer, frozen=True, kw_only=True):
    """A key, its value, and the revisions at which it was created and last written."""

    key: bytes
    value: bytes = b""
    create_revision: int
    mod_revision: int
    version: int = 0


class Found(Answer, frozen=True, kw_only=True):
    """The answer to a read: the keys in order, as they are at the header's revision."""

    header: Header
    kvs: list[KeyValue] = []
    more: bool = False
    count: int = 0

    def value(self, key: bytes) -> bytes | None:
        """The value of a key, None where it was not found."""
        return next((each.value for each in self.kvs if each.key == key), None)


class Done(Answer, frozen=True, kw_only=True):
    """The answer to one operation of a transaction; what it read, where it did."""

    response_range: Found | None = None


class Outcome(Answer, frozen=True, kw_only=True):
    """The answer to a transaction: whether its comparisons held, and what it read."""

    header: Header
    succeeded: bool = False
    responses: list[Done] = []

    def found(self) -> list[Found]:
        """What the transaction's reads found, in their order."""
        return [each.response_range for each in self.responses if each.response_range is not None]


class Compacted(Answer, frozen=True, kw_only=True):
    """The answer to a compaction."""

    header: Header


class Status(Answer, frozen=True, kw_only=True):
    """One member's state; sizes in bytes, `leader` 0 where it knows none."""

    header: Header
    version: str = ""
    size: int = msgspec.field(default=0, name="dbSize")
    in_use: int = msgspec.field(default=0, name="dbSizeInUse")
    leader: int = 0
    raft_index: int = msgspec.field(default=0, name="raftIndex")
    applied_index: int = msgspec.field(default=0, name="raftAppliedIndex")
    raft_term: int = msgspec.field(default=0, name="raftTerm")
    errors: list[str] = []
    is_learner: bool = msgspec.field(default=False, name="isLearner")


class Raised(Answer, frozen=True, kw_only=True):
    """An alarm, and the member that raised it."""

    member: int = msgspec.field(default=0, name="memberID")
    alarm: Alarm = "NONE"


class Alarms(Answer, frozen=True, kw_only=True):
    """The alarms that are raised; etcd says nothing else here."""

    alarms: list[Raised] = []


class Member(Answer, frozen=True, kw_only=True):
    """A member of etcd; its name is "" until it has started."""

    id: int = msgspec.field(name="ID")
    name: str = ""
    peers: list[str] = msgspec.field(default_factory=list, name="peerURLs")
    clients: list[str] = msgspec.field(default_factory=list, name="clientURLs")
    is_learner: bool = msgspec.field(default=False, name="isLearner")


class Members(Answer, frozen=True, kw_only=True):
    """The members, as the asked one knows them, and the one that was added, if any."""

    header: Header
    member: Member | None = None
    members: list[Member]


class Acknowledged(Answer, frozen=True, kw_only=True):
    """The answer to a request that tells nothing: etcd leaves even the header out at times."""


class Piece(Answer, frozen=True, kw_only=True):
    """A piece of a snapshot, and how many bytes follow it."""

    remaining_bytes: int = 0
    blob: bytes = b""


class Streamed(Answer, frozen=True, kw_only=True):
    """One line of a streamed answer."""

    result: Piece


class Failure(Answer, frozen=True, kw_only=True):
    """Why etcd did not do what it was asked: gRPC's code and etcd's words."""

    error: str
    code: int = 2


def read(member: str, path: str, text: bytes, shape: type[T]) -> T:
    """An answer as the value that it has to be. Raises NotUnderstood, which names the member."""
    try:
        return msgspec.json.decode(text, type=shape, strict=False)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise NotUnderstood(
            f"etcd on {member} answered {path} with something else than etcd 3.4 does: {error}.",
            f"Does another program answer there? On {member}: systemctl status mcv-etcd",
        ) from error
