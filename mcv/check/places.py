"""Whether everything that high availability manages survives the death of any one node."""

from collections.abc import Iterator

from mcv.check.finding import ClusterSnapshot, Finding
from mcv.errors import McvError
from mcv.rules.finding import Severity


def judge(scene: ClusterSnapshot) -> Iterator[Finding]:
    """A warning for each VM and service that no other node could run as things are."""
    if isinstance(scene.placeless, McvError):
        yield Finding(
            severity=Severity.WARNING,
            node=scene.me,
            subject="high availability",
            message="Whether every VM would find a place if a node died is not known: "
            f"{scene.placeless.message}",
            hint=scene.placeless.hint,
        )
        return
    for would in scene.placeless:
        yield Finding(
            severity=Severity.WARNING,
            node=would.from_node,
            subject=would.name,
            message=f"If {would.from_node} died, {would.name} would run nowhere: {would.why}.",
            hint=f"What each node lacks: mcv ha explain {would.name}",
        )
