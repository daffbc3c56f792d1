"""DRBD's states, in DRBD's words, with the questions that decisions ask of them."""

from enum import StrEnum
from typing import Self


class State(StrEnum):
    """A state in DRBD's words.

    A word of a DRBD that is newer than this table is kept as it is, to be shown: it is no
    member, and every question about it answers no.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        word = str.__new__(cls, value)
        word._name_, word._value_ = "NOT_IN_THIS_TABLE", value
        return word

    @property
    def is_known(self) -> bool:
        return self in list(type(self))


class Role(State):
    """The role of a resource on one node."""

    PRIMARY = "Primary"
    SECONDARY = "Secondary"
    UNKNOWN = "Unknown"

    @property
    def is_primary(self) -> bool:
        return self is Role.PRIMARY


class DiskState(State):
    """The state of one replica's data."""

    DISKLESS = "Diskless"
    ATTACHING = "Attaching"
    DETACHING = "Detaching"
    FAILED = "Failed"
    NEGOTIATING = "Negotiating"
    INCONSISTENT = "Inconsistent"
    OUTDATED = "Outdated"
    UNKNOWN = "DUnknown"
    CONSISTENT = "Consistent"
    UP_TO_DATE = "UpToDate"

    @property
    def is_up_to_date(self) -> bool:
        return self is DiskState.UP_TO_DATE

    @property
    def is_outdated(self) -> bool:
        return self is DiskState.OUTDATED

    @property
    def is_inconsistent(self) -> bool:
        """Whether the data is a mixture of old and new, or was never written."""
        return self is DiskState.INCONSISTENT

    @property
    def is_promotable(self) -> bool:
        """Whether DRBD promotes this replica without force: it may be the newest."""
        return self in (DiskState.UP_TO_DATE, DiskState.CONSISTENT)

    @property
    def has_consistent_data(self) -> bool:
        """Whether the data is that of one moment, be it an old one."""
        return self.is_promotable or self.is_outdated

    @property
    def needs_resync(self) -> bool:
        """Whether the data is known to be worse than the peer's."""
        return self.is_outdated or self.is_inconsistent

    @property
    def is_detached(self) -> bool:
        """Whether DRBD does not use the volume: after an I/O error as a rule."""
        return self in (DiskState.DISKLESS, DiskState.FAILED, DiskState.DETACHING)

    @property
    def is_unusable(self) -> bool:
        """Whether there is no consistent data, and no transition under way that may change it."""
        return self in (DiskState.INCONSISTENT, DiskState.DISKLESS, DiskState.FAILED)

    @property
    def is_transient(self) -> bool:
        """Whether DRBD passes through this state on its way to another."""
        return self in (DiskState.ATTACHING, DiskState.DETACHING, DiskState.NEGOTIATING)


class ReplicationState(State):
    """What two connected replicas do with each other; Off while they are not connected."""

    OFF = "Off"
    ESTABLISHED = "Established"
    STARTING_SYNC_S = "StartingSyncS"
    STARTING_SYNC_T = "StartingSyncT"
    WF_BITMAP_S = "WFBitMapS"
    WF_BITMAP_T = "WFBitMapT"
    WF_SYNC_UUID = "WFSyncUUID"
    SYNC_SOURCE = "SyncSource"
    SYNC_TARGET = "SyncTarget"
    PAUSED_SYNC_S = "PausedSyncS"
    PAUSED_SYNC_T = "PausedSyncT"
    VERIFY_S = "VerifyS"
    VERIFY_T = "VerifyT"
    AHEAD = "Ahead"
    BEHIND = "Behind"

    @property
    def is_off(self) -> bool:
        return self is ReplicationState.OFF

    @property
    def is_connected(self) -> bool:
        """Whether the peers are in contact and past their handshake."""
        return self.is_known and not self.is_off

    @property
    def is_established(self) -> bool:
        return self is ReplicationState.ESTABLISHED

    @property
    def is_verifying(self) -> bool:
        return self in (ReplicationState.VERIFY_S, ReplicationState.VERIFY_T)

    @property
    def is_syncing(self) -> bool:
        """Whether a resync is under way, or paused in the middle."""
        return self in (
            ReplicationState.SYNC_SOURCE,
            ReplicationState.SYNC_TARGET,
            ReplicationState.PAUSED_SYNC_S,
            ReplicationState.PAUSED_SYNC_T,
        )

    @property
    def is_working(self) -> bool:
        """Whether a resync or a verification is under way, or is paused in the middle."""
        return self.is_syncing or self.is_verifying

    @property
    def is_transient(self) -> bool:
        """Whether a resync is about to begin."""
        return self in (
            ReplicationState.STARTING_SYNC_S,
            ReplicationState.STARTING_SYNC_T,
            ReplicationState.WF_BITMAP_S,
            ReplicationState.WF_BITMAP_T,
            ReplicationState.WF_SYNC_UUID,
        )

    @property
    def keeps_in_step(self) -> bool:
        """Whether each write reaches both replicas, with no resync to end before."""
        return self.is_established or self.is_verifying


class ConnectionState(State):
    """The state of the connection; where the replication's says more, that one (as `cstate`)."""

    STANDALONE = "StandAlone"
    DISCONNECTING = "Disconnecting"
    UNCONNECTED = "Unconnected"
    TIMEOUT = "Timeout"
    BROKEN_PIPE = "BrokenPipe"
    NETWORK_FAILURE = "NetworkFailure"
    PROTOCOL_ERROR = "ProtocolError"
    TEAR_DOWN = "TearDown"
    CONNECTING = "Connecting"
    CONNECTED = "Connected"
    STARTING_SYNC_S = "StartingSyncS"
    STARTING_SYNC_T = "StartingSyncT"
    WF_BITMAP_S = "WFBitMapS"
    WF_BITMAP_T = "WFBitMapT"
    WF_SYNC_UUID = "WFSyncUUID"
    SYNC_SOURCE = "SyncSource"
    SYNC_TARGET = "SyncTarget"
    PAUSED_SYNC_S = "PausedSyncS"
    PAUSED_SYNC_T = "PausedSyncT"
    VERIFY_S = "VerifyS"
    VERIFY_T = "VerifyT"
    AHEAD = "Ahead"
    BEHIND = "Behind"

    @property
    def is_standalone(self) -> bool:
        """Whether this side does not look for its peer."""
        return self is ConnectionState.STANDALONE

    @property
    def is_connected(self) -> bool:
        """Whether the peers are in contact, with nothing between them but replication."""
        return self is ConnectionState.CONNECTED
