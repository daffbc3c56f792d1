"""Changes of high availability: what arms a cluster, what disarms it, and its settings."""

from typing import Any

import msgspec
from msgspec.structs import asdict, replace

from mcv.document.availability import Ha, HostWatchdog
from mcv.document.generation import ChangeMade
from mcv.document.model import Cluster
from mcv.document.registry import change
from mcv.document.schema import require_schema
from mcv.errors import Refused
from mcv.ha.timing import at_pace

SETTINGS = frozenset(Ha.__struct_fields__) - {"armed", "trust_softdog"}  # arming says these


@change("ha.prepare")
def ha_prepare(
    base: Cluster,
    made: ChangeMade,
    /,
    pace: int,
    trust_softdog: bool,
    watchdogs: dict[str, dict[str, Any]],
) -> Cluster:
    """Write down what the nodes' leases will run by, before the first of them has one.

    Refused for an armed cluster, and where the document does not lie in etcd, where leases are.
    """
    _require_unarmed(base)
    _require_etcd(base)
    draft = base
    for name, values in watchdogs.items():
        draft = _with_watchdog(draft, name, values)
    ha = _converted({**asdict(base.ha), "pace": pace, "trust_softdog": trust_softdog})
    draft = replace(draft, ha=ha)
    return base if draft == base else draft


@change("ha.arm")
def ha_arm(base: Cluster, made: ChangeMade, /) -> Cluster:
    """From this generation on a node starts guests under a valid lease alone.

    Precondition: every member has one, and every replica that is behind is marked. Refused
    unless every member is online and its watchdog is written down. Two nodes that agree
    unanimously have no leases: each needs a level of tested plugs instead.
    """
    _require_unarmed(base)
    away = sorted(set(base.nodes) - set(base.online))
    if away:
        raise Refused(f"{' and '.join(away)} is offline.")
    if base.store is None and len(base.nodes) == 2:
        if untested := [name for name in sorted(base.nodes) if not has_tested_level(base, name)]:
            raise Refused(f"{' and '.join(untested)} has no level of tested plugs.")
        return replace(base, ha=replace(base.ha, armed=True))
    _require_etcd(base)
    lacking = [name for name in base.online if base.nodes[name].watchdog is None]
    if lacking:
        raise Refused(f"No watchdog is known of {' and '.join(lacking)}.")
    return replace(base, ha=replace(base.ha, armed=True))


def has_tested_level(base: Cluster, name: str) -> bool:
    """Whether a member can be switched off by plugs that were all tested."""
    return any(level and all(plug.tested for plug in level) for level in base.node(name).levels)


@change("ha.disarm")
def ha_disarm(base: Cluster, made: ChangeMade, /) -> Cluster:
    """From this generation on nothing hangs on leases; pace and settings stay."""
    require_schema(base, 5)
    if not base.ha.armed:
        raise Refused("The cluster is not armed.")
    return replace(base, ha=replace(base.ha, armed=False))


@change("ha.set")
def ha_set(base: Cluster, made: ChangeMade, /, **values: Any) -> Cluster:
    """Change settings, or the pace of an armed cluster; without effect where all is so."""
    require_schema(base, 5)
    unknown = sorted(set(values) - SETTINGS)
    if unknown:
        raise Refused(f"No setting of high availability: {', '.join(unknown)}.")
    ha = _converted({**asdict(base.ha), **values})
    if ha.pace != base.ha.pace:
        base = _repaced(base, ha.pace)
    return base if ha == base.ha else replace(base, ha=ha)


def _repaced(base: Cluster, pace: int) -> Cluster:
    """Every watchdog counts as long as the pace has it."""
    timeout = round(at_pace(pace).watchdog)
    for node in base.nodes.values():
        if node.watchdog is not None:
            watchdog = replace(node.watchdog, timeout=timeout)
            base = base.with_node(replace(node, watchdog=watchdog))
    return base


@change("ha.watchdog")
def ha_watchdog(base: Cluster, made: ChangeMade, /, name: str, watchdog: dict[str, Any]) -> Cluster:
    """Write down what a member's watchdog was measured to be; the member joins, or has another."""
    require_schema(base, 5)
    draft = _with_watchdog(base, name, watchdog)
    return base if draft == base else draft


def _with_watchdog(base: Cluster, name: str, values: dict[str, Any]) -> Cluster:
    watchdog = msgspec.convert(values, HostWatchdog)
    return base.with_node(replace(base.node(name), watchdog=watchdog))


def _converted(values: dict[str, Any]) -> Ha:
    try:
        return msgspec.convert(values, Ha)
    except msgspec.ValidationError as error:
        raise Refused(f"This is no setting of high availability: {error}.") from error


def _require_unarmed(base: Cluster) -> None:
    require_schema(base, 5)
    if base.ha.armed:
        raise Refused("The cluster is armed already.", "See: mcv ha status")


def _require_etcd(base: Cluster) -> None:
    if base.store is None:
        raise Refused(
            "Leases lie in etcd, and the document does not.", "First: mcv cluster store etcd"
        )
