"""DRBD's metadata on a replica's volume: made, read, and marked as of the same data."""

from mcv.drivers import drbd_status
from mcv.drivers.drbd_status import Generations
from mcv.drivers.drbd_tools import Tools

METADATA_TIMEOUT = 600.0


class Metadata:
    """What DRBD remembers on the volume of a replica, also of one that is down."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def create(self, resource: str) -> None:
        """Write new metadata over whatever is there, without a question."""
        self._tools.adm("--force", "create-md", resource, timeout=METADATA_TIMEOUT)

    def resize(self, resource: str) -> None:
        """Move the metadata to the end of volumes that have grown, and give the device the room.

        Preconditions: this node is primary, the replicas are connected, and no resync is under
        way. DRBD says yes and does nothing where a volume has not grown: look at the size.
        """
        self._tools.adm("resize", resource)

    def generations(self, resource: str) -> Generations:
        """The generations of this node's replica, also of one that is down."""
        return drbd_status.parse_generations(self._tools.adm("get-gi", resource))

    def new_current_uuid_clear_bitmap(self, resource: str, minor: int) -> None:
        """Declare both new replicas equal as they are; harmless when they are UpToDate."""
        command = ("drbdsetup", "new-current-uuid", str(minor), "--clear-bitmap")
        self._tools.until(lambda now: now is not None and now.both_up_to_date, resource, *command)

    def new_current_uuid(self, resource: str, minor: int) -> None:
        """Begin a new generation of this replica's data; the resource is StandAlone."""
        self._tools.clean("drbdsetup", "new-current-uuid", str(minor), timeout=60)
