"""Services: an address where it should not be, and what a node lacks to run one."""

from collections.abc import Iterator

from mcv.check.finding import ClusterSnapshot, Finding
from mcv.check.service_seen import ServiceHere
from mcv.document.ha_entries import Service
from mcv.rules.finding import Severity

Findings = Iterator[Finding]


def judge(scene: ClusterSnapshot) -> Findings:
    """An address with two holders is an error, as is whatever a start will stumble on."""
    for node, inventory in sorted(scene.seen.items()):
        for name, here in sorted((inventory.services or {}).items()):
            service = scene.cluster.services.get(name)
            if service is None:
                yield from _unknown(scene, node, name)
                continue
            for message, hint in here.lacks:
                hint = hint or f"Mend that on {node}; then: mcv cluster check"
                yield _error(node, name, f"{name} cannot start on {node}: {message}", hint)
            if not _is_at_work(scene, service):
                yield from _running(node, service, here)


def _is_at_work(scene: ClusterSnapshot, service: Service) -> bool:
    """Whether it may just be moving, so that some of it is elsewhere."""
    is_changing = any(known.services.get(service.name) != service for known in scene.known)
    return is_changing or service.claim is not None


def _unknown(scene: ClusterSnapshot, node: str, name: str) -> Findings:
    if not any(name in known.services for known in scene.known):
        yield _error(
            node, name, f"{name}, which is no service any more, runs on {node}.", _ends(node)
        )


def _running(node: str, service: Service, here: ServiceHere) -> Findings:
    name, address = service.name, service.address
    is_owner = node == service.node
    away = f"On {node}: ip address del {address} dev {here.device}"
    if here.runs and not is_owner:
        yield _error(node, name, f"{name} runs on {node}, and {service.node} owns it.", _ends(node))
    elif here.runs and here.trouble:
        hint = f"What is done about it: mcv ha explain {name}"
        yield _error(node, name, f"{name} is not well on {node}: {here.trouble}.", hint)
    elif here.device and not is_owner:
        has = f"{node} has the address {address} of {name}, on {here.device}"
        yield _error(node, name, f"{has}, and {service.node} owns {name}.", away)
    elif here.device and not here.runs:
        has = f"{node} has the address {address} of {name}, on {here.device}"
        yield _error(node, name, f"{has}, and mcv has not put it there.", away)


def _ends(node: str) -> str:
    return f"It is ended within seconds; why it is not: journalctl -u mcvd on {node}"


def _error(node: str, subject: str, message: str, hint: str) -> Finding:
    return Finding(severity=Severity.ERROR, node=node, subject=subject, message=message, hint=hint)
