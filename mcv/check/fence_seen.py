"""What a node knows of fence devices, by its own word, for the check."""

from msgspec import Struct

from mcv.host import Host
from mcv.system import addresses


class FenceSeen(Struct, frozen=True, kw_only=True):
    """Why each device that this node asks does not answer, "" where it does.

    `lacking` are the devices whose secrets this node does not have. `on_link` are those that it
    reaches by the address that it has in the cluster: what cuts that link may cut them off too.
    """

    failures: dict[str, str] = {}
    lacking: list[str] = []
    on_link: list[str] = []


def look(host: Host) -> FenceSeen | None:
    """What the last looks at devices told; None where there is no device."""
    devices = host.read().fence_devices
    if not devices:
        return None
    lacking = [
        name
        for name, device in devices.items()
        if device.secrets and host.fences.secrets.read(name, device.secret_id) is None
    ]
    known = {name: each for name, each in host.fences.monitored.items() if name in devices}
    return FenceSeen(
        failures={name: each.failure for name, each in known.items()},
        lacking=sorted(lacking),
        on_link=on_link(host),
    )


def on_link(host: Host) -> list[str]:
    """The devices that this node reaches by the address that it has in the cluster.

    A device that is named, and not given by its address, is not looked at: a resolver may hang.
    """
    cluster = host.read()
    node = cluster.nodes.get(host.name)
    found = []
    for name, device in sorted(cluster.fence_devices.items()):
        where = device.parameters.get("ip") or device.parameters.get("ipaddr", "")
        if node is not None and _source_to(where) == node.ip_address:
            found.append(name)
    return found


def _source_to(address: str) -> str:
    try:
        return addresses.source_to(address)
    except ValueError:
        return ""
