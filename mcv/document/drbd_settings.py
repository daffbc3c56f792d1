"""Settings that hold for every DRBD resource of the cluster."""

from typing import Annotated, Literal

from msgspec import Meta

from mcv.document.disks import Bytes
from mcv.document.generation import Value


class DrbdSettings(Value, frozen=True, kw_only=True):
    """What holds for every resource of the cluster; rates in bytes a second.

    The dynamic controller of DRBD 8.4 begins at about 1 MB/s, so its plan-ahead is off
    and the fixed rate counts. `secret_id` names the secret in use, "" the first one.
    """

    enabled: bool = False
    resync_rate: Bytes = 200 * 1024**2
    verify_rate: Bytes = 200 * 1024**2
    on_peer_loss: Literal["continue", "wait"] = "continue"
    secret_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{0,32}\Z")] = ""
