"""What the check finds of fence devices and plugs: who is not switched off when it matters."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from mcv.check.finding import ClusterSnapshot, Finding
from mcv.document.arms import is_pair
from mcv.document.fence_changes import in_words
from mcv.document.fencing import Plug
from mcv.document.model import Node
from mcv.rules.finding import Severity

OLD = timedelta(days=365)  # a test is from before cables may have been moved

Findings = Iterator[Finding]


def judge(scene: ClusterSnapshot, now: datetime | None = None) -> Findings:
    """Devices that do not answer, secrets that are missing, plugs whose test is none or old."""
    yield from _devices(scene)
    for name, node in sorted(scene.cluster.nodes.items()):
        yield from _secrets(scene, name)
        for level in node.levels:
            for plug in level:
                yield from _plug(name, plug, now or datetime.now(UTC))
        yield from _nothing_counts(scene, node)
        yield from _on_link(scene, node)


def _devices(scene: ClusterSnapshot) -> Findings:
    for device in sorted(scene.cluster.fence_devices):
        told = {
            node: inventory.fences.failures[device]
            for node, inventory in sorted(scene.seen.items())
            if inventory.fences is not None and device in inventory.fences.failures
        }
        failing = {node: why for node, why in told.items() if why}
        is_lost = bool(failing) and len(failing) == len(told)
        for node, why in failing.items():
            yield Finding(
                severity=Severity.ERROR if is_lost else Severity.WARNING,
                node=node,
                subject=device,
                message=f"The fence device {device} does not answer {node}: {why}",
                hint=f"Look at it; then: mcv fence device list. Its password is changed by: "
                f"mcv fence device set {device} --secret-file F",
            )


def _secrets(scene: ClusterSnapshot, name: str) -> Findings:
    seen = scene.seen[name].fences if name in scene.seen else None
    for device in seen.lacking if seen is not None else ():
        yield Finding(
            severity=Severity.WARNING,
            node=name,
            subject=device,
            message=f"{name} does not have the secrets of the fence device {device}.",
            hint=f"It fetches them from another node; or: mcv fence device set {device} "
            "--secret-file F",
        )


def _plug(name: str, plug: Plug, now: datetime) -> Findings:
    where = in_words(plug)
    hint = f"mcv evacuate {name}, then: mcv fence test {name} --off"
    if not plug.tested:
        yield _warning(
            name, where, f"{where} was never seen to switch {name}, so it counts for nothing.", hint
        )
    elif _is_old(plug.tested, now):
        yield _warning(
            name, where, f"{where} was last tested on {plug.tested[:10]}: cables move.", hint
        )


def _is_old(tested: str, now: datetime) -> bool:
    try:
        return now - datetime.fromisoformat(tested) > OLD
    except (ValueError, TypeError):
        return True


def _nothing_counts(scene: ClusterSnapshot, node: Node) -> Findings:
    """An armed node that neither a plug nor its watchdog proves dead."""
    is_tested = any(level and all(plug.tested for plug in level) for level in node.levels)
    trusts = scene.cluster.ha.trust_softdog
    proves = node.watchdog is not None and (node.watchdog.hardware or trusts)
    if scene.cluster.ha.armed and node.status == "online" and not (is_tested or proves):
        yield _warning(
            node.name,
            "fencing",
            f"Nothing proves {node.name} dead but your word: it has no tested plug, and its "
            "watchdog is none of hardware.",
            f"mcv fence set {node.name} --level 1 DEVICE[:PORT]",
        )


def _on_link(scene: ClusterSnapshot, node: Node) -> Findings:
    """On two nodes without leases: one that reaches no device of the other but by their link."""
    seen = scene.seen[node.name].fences if node.name in scene.seen else None
    if not is_pair(scene.cluster) or seen is None:
        return
    levels = (each.levels for name, each in scene.cluster.nodes.items() if name != node.name)
    devices = {plug.device for others in levels for level in others for plug in level}
    if devices and devices <= set(seen.on_link):
        yield _warning(
            node.name,
            "fencing",
            f"{node.name} reaches {' and '.join(sorted(devices))} by the cluster's own link: what "
            "cuts that may cut both, and then nothing moves.",
            "Give it another way there, or a level on a device that has one.",
        )


def _warning(node: str, subject: str, message: str, hint: str) -> Finding:
    return Finding(
        severity=Severity.WARNING, node=node, subject=subject, message=message, hint=hint
    )
