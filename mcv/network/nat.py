"""Networks of libvirt's own, by NAT: on each node its own, made by its mcvd."""

from mcv.document.model import Cluster
from mcv.document.networks import Network
from mcv.document.schema import older_member
from mcv.errors import McvError, Refused
from mcv.host import Host

BRIDGE = "mcvnat"


def next_bridge(cluster: Cluster) -> str:
    """The name for the bridge of another network, the same on each node."""
    taken = {network.bridge for network in cluster.networks.values()}
    return next(
        name for number in range(len(taken) + 1) if (name := f"{BRIDGE}{number}") not in taken
    )


def bring_up(host: Host) -> None:
    """Make the networks of the document here that are missing, and take away what none has.

    Raises McvError for the first network that cannot be made; the others are made all the same.
    """
    wanted = {name: each for name, each in host.read().networks.items() if each.nat}
    kept = {name for cluster in host.both() for name in cluster.networks}
    active = host.domains.networks.active()
    errors = [error for each in wanted.values() if (error := _made(host, each, active))]
    for name in active.keys() - kept:
        host.domains.networks.take_away(name)
    if errors:
        raise errors[0]


def _made(host: Host, network: Network, active: dict[str, bool]) -> McvError | None:
    if active.get(network.name):
        return None
    try:
        host.domains.networks.bring_up(network.name, network.bridge)
    except McvError as error:
        return error
    return None


def look_after(host: Host) -> None:
    """A round of the loop; a node without such networks asks libvirt nothing."""
    had_some = host.nat_networks
    host.nat_networks = any(network.nat for network in host.read().networks.values())
    if had_some or host.nat_networks:
        bring_up(host)


def why_not_write(cluster: Cluster) -> list[Refused]:
    """Why the document cannot hold such a network yet."""
    if cluster.schema >= 3:
        return []
    return [older_member("A network by NAT cannot be written down")]
