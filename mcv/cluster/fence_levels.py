"""mcv fence set and unset: which plugs switch a node off."""

from mcv.cluster import fence_power
from mcv.cluster.fence_power import PlugRow
from mcv.document.fence_changes import require_device
from mcv.drivers import fence_metadata
from mcv.errors import McvError, Refused, refuse_all
from mcv.host import Host


def set_(host: Host, node: str, level: int, plugs: list[list[str]]) -> list[PlugRow]:
    """Let a node hang on these plugs, in this level; Refused with everything that is wrong.

    All plugs of the node are asked then, which changes nothing.
    """
    host.read().node(node)
    refuse_all([problem for device, port in plugs for problem in _problems(host, device, port)])
    host.update("fence.level", f"fence set {node}", name=node, level=level, plugs=plugs)
    return fence_power.status(host, node)


def _problems(host: Host, name: str, port: str) -> list[Refused]:
    try:
        device = require_device(host.read(), name)
        metadata = host.fences.agents.metadata(device.agent)
    except McvError as error:
        return [Refused(error.message, error.hint)]
    given = "port_as_ip" in device.parameters
    why = "" if given and not port else fence_metadata.why_not_port(name, metadata, port)
    hint = f"mcv fence set NODE --level N {name}{'' if port else ':PORT'}"
    return [Refused(f"{why}.", hint)] if why else []


def unset(host: Host, node: str, level: int | None = None) -> list[PlugRow]:
    """Take a level away from a node, or all; those behind it move up, and are asked."""
    have = len(host.read().node(node).levels)
    if not have:
        raise Refused(f"{node} has no fence device.")
    for number in [level] if level is not None else range(have, 0, -1):
        host.update("fence.level", f"fence unset {node}", name=node, level=number, plugs=[])
    return fence_power.status(host, node)
