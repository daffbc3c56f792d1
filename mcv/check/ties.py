"""VMs that are tied to their host, and whether the host has what ties them."""

from collections.abc import Iterator

from mcv.check.finding import ClusterSnapshot, Finding
from mcv.rules import host_devices, tied
from mcv.rules.finding import Severity


def judge(scene: ClusterSnapshot) -> Iterator[Finding]:
    """A note for each VM that cannot move; an error for a device that its start would miss."""
    for vm in scene.cluster.vms.values():
        if note := tied.finding(vm):
            yield Finding(
                severity=note.severity,
                node=vm.node,
                subject=vm.name,
                message=note.message,
                hint=note.hint,
            )
        inventory = scene.seen.get(vm.node)
        if inventory is None or inventory.devices is None:
            continue
        for problem in host_devices.why_not_start(vm, vm.node, inventory.devices):
            yield Finding(
                severity=Severity.ERROR,
                node=vm.node,
                subject=vm.name,
                message=f"{vm.name} cannot start: {problem.message}",
                hint=problem.hint,
            )
