"""Changes of fencing: devices, the plugs that nodes hang on, and which of them were tested."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from mcv.document.fencing import MOST_LEVELS, MOST_PLUGS, FenceDevice, Plug
from mcv.document.generation import ChangeMade
from mcv.document.model import Cluster, Node
from mcv.document.names import problem_with_name
from mcv.document.registry import change
from mcv.document.schema import require_schema
from mcv.errors import NotFound, Refused

Where = tuple[str, str]  # a device, and the plug there
T = TypeVar("T")


def require_device(base: Cluster, name: str) -> FenceDevice:
    """A device by its name; NotFound where there is none."""
    if name not in base.fence_devices:
        raise NotFound(f"There is no fence device {name}.", "See: mcv fence device list")
    return base.fence_devices[name]


def nodes_on(base: Cluster, device: str) -> list[str]:
    """The nodes that have a plug of the device."""
    return sorted(
        name
        for name, node in base.nodes.items()
        if any(plug.device == device for level in node.levels for plug in level)
    )


@change("fence.device")
def fence_device(
    base: Cluster, made: ChangeMade, /, name: str, device: dict[str, Any], new: bool
) -> Cluster:
    """Write a device down, which is `new`, or another way of reaching one that there is.

    Whatever but a secret changes, its plugs were never tested: they may be other ones.
    """
    require_schema(base, 6)
    if problem := problem_with_name(name, "fence device"):
        raise problem
    if new and name in base.fence_devices:
        raise Refused(
            f"There is a fence device {name} already.",
            f"mcv fence device set {name}; see: mcv fence device list",
        )
    before = None if new else require_device(base, name)
    now = _converted(device, FenceDevice)
    draft = replace(base, fence_devices={**base.fence_devices, name: now})
    if before is None or reached_by(before) == reached_by(now):
        return draft

    def forgotten(plug: Plug) -> Plug:
        return replace(plug, tested="", seconds=0) if plug.device == name else plug

    for node in base.nodes.values():
        draft = draft.with_node(_with_plugs(node, forgotten))
    return draft


@change("fence.device_gone")
def fence_device_gone(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    """Take a device away that no node hangs on."""
    require_schema(base, 6)
    require_device(base, name)
    if nodes := nodes_on(base, name):
        raise Refused(
            f"{' and '.join(nodes)} hangs on {name}.", f"First: mcv fence unset {nodes[0]}"
        )
    kept = {key: device for key, device in base.fence_devices.items() if key != name}
    return replace(base, fence_devices=kept)


@change("fence.level")
def fence_level(
    base: Cluster, made: ChangeMade, /, name: str, level: int, plugs: list[list[str]]
) -> Cluster:
    """Let a node hang on these plugs, each a device and a port, all of which have to be off.

    Level 1 is tried first; the one behind the last is a new one. Without plugs the level goes,
    and those behind it move up. A plug that stays has been tested as before.
    """
    require_schema(base, 6)
    node = base.node(name)
    known = {_where(plug): plug for each in node.levels for plug in each}
    wanted = tuple(
        known.get((device, port)) or _converted({"device": device, "port": port}, Plug)
        for device, port in map(tuple, plugs)
    )
    last = len(node.levels) + bool(plugs)
    if not 1 <= level <= min(last, MOST_LEVELS):
        have = f"has {len(node.levels)} levels" if node.levels else "has no level"
        raise Refused(f"{name} {have}, so there is no level {level}.", "See: mcv fence status")
    others = node.levels[: level - 1] + node.levels[level:]
    _require_free(base, name, wanted, {_where(plug) for each in others for plug in each})
    made_of = (wanted,) if plugs else ()
    levels = (*node.levels[: level - 1], *made_of, *node.levels[level:])
    return base if levels == node.levels else base.with_node(replace(node, levels=levels))


def _require_free(base: Cluster, name: str, plugs: tuple[Plug, ...], own: set[Where]) -> None:
    """Refuse a plug of no device, one that is named twice, and one that is another node's."""
    if len(plugs) > MOST_PLUGS:
        raise Refused(f"A level has {MOST_PLUGS} plugs at most.")
    taken = {
        _where(plug): other.name
        for other in base.nodes.values()
        if other.name != name
        for level in other.levels
        for plug in level
    }
    for plug in plugs:
        require_device(base, plug.device)
        if _where(plug) in own:
            raise Refused(f"{in_words(plug)} is named twice for {name}.")
        if owner := taken.get(_where(plug)):
            raise Refused(
                f"{in_words(plug)} is {owner}'s plug already, so it is not {name}'s.",
                f"mcv fence unset {owner}",
            )
        own = own | {_where(plug)}


@change("fence.tested")
def fence_tested(
    base: Cluster,
    made: ChangeMade,
    /,
    name: str,
    plugs: list[list[str]],
    when: str,
    seconds: int,
    devices: dict[str, dict[str, Any]],
) -> Cluster:
    """Write down that plugs of a node were seen to switch it off; where `when` is "", did not.

    Refused where a plug is the node's no more, and where one of the `devices`, which are as they
    were in the test, is another one by now.
    """
    require_schema(base, 6)
    node = base.node(name)
    wanted = {(device, port) for device, port in map(tuple, plugs)}
    have = {_where(plug) for level in node.levels for plug in level}
    changed = [
        device
        for device, values in devices.items()
        if reached_by(require_device(base, device)) != values
    ]
    if changed or not wanted <= have:
        raise Refused(
            f"{name}'s plugs were changed while they were tested.", f"mcv fence test {name} --off"
        )
    took = seconds if when else 0

    def told(plug: Plug) -> Plug:
        is_told = _where(plug) in wanted
        return replace(plug, tested=when, seconds=took) if is_told else plug

    new = _with_plugs(node, told)
    return base if new == node else base.with_node(new)


def reached_by(device: FenceDevice) -> dict[str, object]:
    """What of a device a test is about: whatever but its secrets."""
    return {"agent": device.agent, "parameters": dict(device.parameters)}


def _with_plugs(node: Node, change_of: Callable[[Plug], Plug]) -> Node:
    levels = tuple(tuple(change_of(plug) for plug in level) for level in node.levels)
    return replace(node, levels=levels)


def _where(plug: Plug) -> Where:
    return plug.device, plug.port


def in_words(plug: Plug) -> str:
    """A plug as it is typed: DEVICE:PORT, or DEVICE."""
    return f"{plug.device}:{plug.port}" if plug.port else plug.device


def _converted(values: dict[str, Any], shape: type[T]) -> T:
    try:
        return msgspec.convert(values, shape)
    except msgspec.ValidationError as error:
        raise Refused(f"This is no {shape.__name__} of fencing: {error}.") from error
