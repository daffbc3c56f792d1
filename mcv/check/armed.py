"""What of an armed cluster is not as arming left it: leases, watchdogs, how DRBD looks around."""

from collections.abc import Iterator

from mcv.check.finding import ClusterSnapshot, Finding
from mcv.check.lease_seen import LeaseSeen
from mcv.document.arms import has_leases
from mcv.document.model import Node
from mcv.drivers.drbd_resource_file import PING
from mcv.rules.finding import Severity

Findings = Iterator[Finding]


def judge(scene: ClusterSnapshot) -> Findings:
    """What is wrong with the lease of each node that has told what it has."""
    for name, node in sorted(scene.cluster.nodes.items()):
        seen = scene.seen[name].lease if name in scene.seen else None
        if seen is None:
            continue
        if not scene.cluster.ha.armed:
            yield from _left(name, seen)
        elif node.status == "online":
            if has_leases(scene.cluster):
                yield from _lease(name, seen)
                yield from _watchdog(scene, node, seen)
            yield from _pings(name, seen)


def _left(name: str, seen: LeaseSeen) -> Findings:
    if seen.runs or seen.is_told:
        yield Finding(
            severity=Severity.WARNING,
            node=name,
            subject="mcv-lease",
            message=f"The cluster is not armed, and the watchdog of {name} still counts.",
            hint=f"It is ended by itself; on {name}: journalctl -u mcv-lease",
        )


def _lease(name: str, seen: LeaseSeen) -> Findings:
    where = f"On {name}: systemctl status mcv-lease; journalctl -u mcv-lease"
    if not (seen.is_told and seen.runs):
        yield _error(
            name,
            f"The cluster is armed, and mcv-lease does not run on {name}: nothing starts there, "
            "and what runs there is not ended in time.",
            f"mcvd starts it; {where[0].lower()}{where[1:]}",
        )
    elif not seen.left:
        yield _error(
            name,
            f"{name} has no valid lease: nothing starts there, and its guests are ended.",
            f"{where}; mcv cluster store",
        )


def _watchdog(scene: ClusterSnapshot, node: Node, seen: LeaseSeen) -> Findings:
    name, known = node.name, node.watchdog
    if known is None:
        yield _error(
            name,
            f"The cluster is armed, and no watchdog is known of {name}.",
            "mcv ha disarm; then: mcv ha arm",
            "watchdog",
        )
        return
    if seen.is_told and (seen.kind, seen.timeout) != (known.kind, known.timeout):
        yield _error(
            name,
            f"{name} is armed by {seen.kind} of {seen.timeout} s; the document has {known.kind} "
            f"of {known.timeout} s.",
            "It follows within seconds; where that lasts: mcv ha disarm; then: mcv ha arm",
            "watchdog",
        )
    if seen.kinds is not None and known.kind not in seen.kinds:
        there = ", ".join(seen.kinds) or "none"
        yield _error(
            name,
            f"{name} was armed by the watchdog {known.kind}, and has {there} now.",
            f"On {name}: wdctl; where it is another one by now: mcv ha disarm; then: mcv ha arm",
            "watchdog",
        )
    if not (known.hardware or scene.cluster.ha.trust_softdog):
        yield Finding(
            severity=Severity.WARNING,
            node=name,
            subject="watchdog",
            message=f"The watchdog of {name} proves nothing: its lease is never taken by itself.",
            hint="mcv ha disarm; then: mcv ha arm --trust-softdog, or with a watchdog in hardware",
        )


def _pings(name: str, seen: LeaseSeen) -> Findings:
    for resource, seconds in sorted(seen.pings.items()):
        if seconds != PING:
            yield Finding(
                severity=Severity.WARNING,
                node=name,
                subject=resource,
                message=f"{resource} on {name} looks for its peer every {seconds} s, and not every "
                f"{PING}: a lost peer is noticed after its node is taken for dead.",
                hint="It is taken up by itself, once its VM is not claimed and it is connected.",
            )


def _error(name: str, message: str, hint: str, subject: str = "mcv-lease") -> Finding:
    return Finding(severity=Severity.ERROR, node=name, subject=subject, message=message, hint=hint)
