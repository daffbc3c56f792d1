"""A replicated disk made larger, when both of its volumes are: steps of a plan."""

import time

from mcv.drbd import roles
from mcv.drivers.drbd_status import Status
from mcv.errors import McvError
from mcv.host import Host

PATIENCE = 30.0  # s that the peer has to follow
PAUSE = 0.2


def require_growable(host: Host, name: str, disk: int) -> None:
    """Raises McvError unless both replicas are UpToDate, connected, and nothing is under way."""
    _, wanted = roles.find(host, name, disk)
    status = host.drbd.status(wanted.resource)
    if status is None or not (status.connected and status.both_up_to_date) or status.is_working:
        state = f"{status.connection}, {status.disk}/{status.peer_disk}" if status else "down"
        raise McvError(
            f"{wanted.resource} grows while both replicas are UpToDate and connected: it is "
            f"{state} on {host.name}.",
            "See: mcv drbd list",
        )


def rewrite(host: Host, name: str, disk: int) -> None:
    """Write the resource's file as the document says now, its size among it."""
    cluster, wanted = roles.find(host, name, disk)
    roles.write_file(host, cluster, wanted)


def resize(host: Host, name: str, disk: int) -> None:
    """Have DRBD take the disk's size on both sides; harmless when it has.

    Precondition: both volumes are large enough, and both files say the new size. The replicas
    are made alike afterwards in what was added. Errors: McvError where DRBD's device is
    smaller than the document says in the end: with one volume not extended it says yes and does
    nothing.
    """
    _, wanted = roles.find(host, name, disk)
    status = host.drbd.status(wanted.resource)
    if status is None or status.size < wanted.size:
        host.drbd.promote(wanted.resource)
        try:
            host.drbd.metadata.resize(wanted.resource)
            await_size(host, name, disk)
        finally:
            if not host.domains.is_active(name):
                host.drbd.demote(wanted.resource)
    else:
        await_size(host, name, disk)


def await_size(host: Host, name: str, disk: int) -> None:
    """Wait until DRBD's device here is as large as the document says; else raise McvError."""
    _, wanted = roles.find(host, name, disk)
    until = time.monotonic() + PATIENCE
    while not _is_as_large(seen := host.drbd.status(wanted.resource), wanted.size):
        if time.monotonic() > until:
            has = seen.size if seen else 0
            raise McvError(
                f"{wanted.resource} has {has} bytes on {host.name}, not {wanted.size}.",
                "See: mcv drbd list",
            )
        time.sleep(PAUSE)


def _is_as_large(status: Status | None, size: int) -> bool:
    return status is not None and status.size >= size
