"""Replicas on this node that no guest could run on, in words."""

from mcv.errors import McvError
from mcv.host import Host


def replicas(host: Host) -> dict[str, str]:
    """By VM of another node with a replica here: what is wrong with that replica."""
    cluster = host.read()
    if not cluster.drbd.enabled:
        return {}
    try:
        statuses = host.drbd.statuses()
    except McvError as error:
        return {vm.name: f"DRBD does not tell: {error.message}" for vm, _ in cluster.replicated()}
    found: dict[str, str] = {}
    for vm, disk in cluster.replicated():
        if vm.node == host.name or host.name not in disk.places:
            continue
        status = statuses.get(disk.resource)
        if status is None:
            found[vm.name] = f"its replica of disk {disk.id} is not up"
        elif not status.disk.is_promotable or status.disk.is_outdated:
            found[vm.name] = f"its replica of disk {disk.id} is {status.disk}"
    return found
