"""A round of the daemon's loop over the networks of this host."""

from mcv.host import Host
from mcv.network import nat, tags


def look_after(host: Host) -> None:
    """Make libvirt's own networks that are missing; take away bridges that nobody needs."""
    tags.look_after(host)
    nat.look_after(host)
