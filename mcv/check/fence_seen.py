"""What a node knows of fence devices, by its own word, for the check."""

from msgspec import Struct

from mcv.host import Host


class FenceSeen(Struct, frozen=True, kw_only=True):
    """Why each device that this node asks does not answer, "" where it does.

    `lacking` are the devices whose secrets this node does not have.
    """

    failures: dict[str, str] = {}
    lacking: list[str] = []


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
        failures={name: each.failure for name, each in known.items()}, lacking=sorted(lacking)
    )
