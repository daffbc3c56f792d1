"""ReplicaState: what a node says of its replica of one resource."""

from mcv.drivers.drbd_status import Generations, Status


class ReplicaState(Status, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """DRBD's status of the resource and, where it was read, which data the replica holds.

    It crosses between nodes, and another version may send more than is known here.
    """

    generations: Generations | None = None
