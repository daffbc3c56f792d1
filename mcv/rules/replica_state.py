"""ReplicaState: what a node says of its replica of one resource."""

from mcv.drivers.drbd_status import Generations, Status


class ReplicaState(Status, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """DRBD's status of the resource and, where it was read, which data the replica holds.

    It crosses between nodes, so a newer mcv may send more than this one knows.
    """

    generations: Generations | None = None
