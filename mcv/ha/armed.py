"""The file by which mcvd tells mcv-lease that its node is armed, and how: /run/mcv/armed.

mcvd writes it whole from the document. mcv-lease looks at it again and again, and ends where it
is gone. It is there as long as mcv-lease has to go on; a boot of the host begins without it.
"""

from pathlib import Path
from typing import Literal

import msgspec

from mcv.ha.timing import Timing
from mcv.system import files
from mcv.system.lease import RUN

FILE = "armed"


class Voter(msgspec.Struct, frozen=True, kw_only=True):
    """A member of etcd: where it answers, and its certificate as PEM."""

    name: str
    address: str
    port: int
    certificate: str


class Armed(msgspec.Struct, frozen=True, kw_only=True):
    """What mcv-lease needs to know; periods in seconds."""

    node: str
    cluster: str  # the id of the etcd store: keys lie below /mcv/<id>/
    renewal: float
    validity: float
    watchdog: float
    grain: float
    device: str  # "/dev/watchdog0", as it was when the node was armed
    kind: str  # the identity of the watchdog, by which it is found where the number has changed
    proves: bool  # whether this watchdog's reset is evidence
    on_lost: Literal["stop", "reset"] = "stop"
    voters: tuple[Voter, ...] = ()
    certificate: str  # path of this node's certificate for etcd
    key: str  # path of its key

    @property
    def timing(self) -> Timing:
        return Timing(self.renewal, self.validity, self.watchdog, self.grain)


def write(armed: Armed, run: Path = RUN) -> None:
    """Arm this node, or tell mcv-lease what is new. Raises SystemFailed."""
    files.write_atomically(run / FILE, msgspec.json.encode(armed).decode())


def read(run: Path = RUN) -> Armed | None:
    """What mcvd has written; None where the node is not armed. Raises Unreadable."""
    return files.read_as(run / FILE, Armed)


Version = tuple[int, int, int]


def version(run: Path = RUN) -> Version | None:
    """What changes with each `write`; None where the node is not armed."""
    try:
        status = (run / FILE).lstat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def remove(run: Path = RUN) -> None:
    """Disarm this node: mcv-lease ends. Harmless where it is not armed. Raises SystemFailed."""
    files.remove(run / FILE)
