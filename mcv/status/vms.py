"""What there is to see: list, info, and the report that each node gives of itself."""

from typing import Any

import mcv
from mcv.document.model import Cluster, Disk, Vm, plain
from mcv.drbd import verification_results
from mcv.errors import McvError
from mcv.host import Host
from mcv.rules import replica, split_brain
from mcv.system.fanout import ask_all, ask_living
from mcv.system.observations import READ


def report(host: Host) -> dict[str, Any]:
    """What runs on this node: domains, DRBD, work that somebody is needed for."""
    trouble = []
    domains: dict[str, str] = {}
    resources: dict[str, Any] = {}
    try:
        domains = host.domains.states()
    except McvError as error:
        trouble.append(f"libvirt does not answer on {host.name}: {error.message}")
    if host.read().drbd.enabled:
        try:
            resources = dict(split_brain.told(host, host.drbd.statuses()))
        except McvError as error:
            trouble.append(f"DRBD cannot be read on {host.name}: {error.message}")
    left = [
        {"operation": one.operation, "title": one.title, "trouble": one.trouble}
        for one in host.journal.entries()
        if one.node == host.name and not host.jobs.running(one.operation)
    ]
    return {
        "version": mcv.__version__,
        "in_contact": host.consensus.in_contact,
        "domains": domains,
        "resources": resources,
        "left": left,
        "trouble": trouble,
        "blocked": replica.blocked_by_note(host),
        "verifying": sorted(verification_results.under_way(host)),
    }


def reports(host: Host) -> dict[str, dict[str, Any] | None]:
    """Every member's report; None for one that does not answer in time."""
    others = [name for name in host.read().nodes if name != host.name]
    answers = ask_living(host.call, others, "node.report", host.observations.patience(others))
    found: dict[str, dict[str, Any] | None] = {
        name: None if isinstance(answer, McvError) else answer for name, answer in answers.items()
    }
    found[host.name] = report(host)
    split_brain.complete(host, {node: one["resources"] for node, one in found.items() if one})
    return found


def list_(host: Host) -> list[dict[str, Any]]:
    """All VMs with their states; "unknown" where the owner does not answer."""
    seen = reports(host)
    cluster = host.read()
    return [summary(cluster, vm, seen) for _, vm in sorted(cluster.vms.items())]


def summary(cluster: Cluster, vm: Vm, seen: dict[str, dict[str, Any] | None]) -> dict[str, Any]:
    return {
        "name": vm.name,
        "state": state_of(vm, seen),
        "node": vm.node,
        "nodes": list(vm.nodes),
        "memory": vm.memory,
        "cpus": vm.cpus,
        "storage": vm.storage,
        "locked": vm.locked or vm.claim is not None,
        "attention": attention(cluster, vm, seen),
    }


def state_of(vm: Vm, seen: dict[str, dict[str, Any] | None]) -> str:
    owner = seen.get(vm.node)
    if owner is None:
        return "unknown"
    state = owner["domains"].get(vm.name, "stopped")
    return "stopped" if state == "absent" else str(state)


def attention(cluster: Cluster, vm: Vm, seen: dict[str, dict[str, Any] | None]) -> str | None:
    """What about a VM needs somebody, the worst first; None where nothing does."""
    found: list[str] = []
    for node, one in seen.items():
        elsewhere = node != vm.node and one and vm.name in one["domains"] and vm.claim is None
        if elsewhere and one:
            state = one["domains"][vm.name]
            found.append(f"{state} copy on {node}: mcv stop {vm.name} --on {node}")
    owner = seen.get(vm.node)
    if owner is None:
        found.append(f"{vm.node} does not answer")
    elif vm.name not in owner["domains"] and vm.claim is None:
        found.append(f"not defined on {vm.node}: mcv register {vm.name}")
    for disk in vm.disks:
        sides = {node: one["resources"].get(disk.resource) for node, one in seen.items() if one}
        found.extend(replica.complaints(cluster, vm, disk, sides))
    if vm.claim is not None and any(
        left["operation"] == vm.claim.operation
        for one in seen.values()
        if one
        for left in one["left"]
    ):
        found.append(f"{vm.claim.why} is unfinished: mcv job wait {vm.claim.operation}, mcv repair")
    return "; ".join(found) or None


def info(host: Host, name: str) -> dict[str, Any]:
    """All about one VM."""
    vm = host.read().vm(name)
    seen = reports(host)
    cluster = host.read()
    vnc = None
    owner = seen.get(vm.node)
    if owner is not None and state_of(vm, seen) in ("running", "paused"):
        answer = ask_all(host.call, [vm.node], "vm.vnc", READ, name=name)[vm.node]
        vnc = None if isinstance(answer, McvError) else answer
    return {
        **summary(cluster, vm, seen),
        "uuid": vm.uuid,
        "claim": plain(vm.claim),
        "administrators_lock": vm.locked,
        "disks": [_disk(vm, disk, seen) for disk in vm.disks],
        "networks": [{"network": nic.network, "mac": nic.mac} for nic in vm.nics],
        "verify": verification(vm, seen),
        "vnc": vnc,
    }


def vnc(host: Host, name: str) -> str | None:
    return host.domains.vnc(name)


def verification(vm: Vm, seen: dict[str, dict[str, Any] | None]) -> dict[str, Any]:
    """The worst of a VM's disks: what the last verification said, and whether it blocks."""
    order = ("out-of-sync", "interrupted", "running", "never", "clean")
    worst = min(
        (disk.verification for disk in vm.disks),
        key=lambda one: (not one.blocked, order.index(one.result)),
        default=None,
    )
    noted = any(
        disk.resource in one["blocked"] for one in seen.values() if one for disk in vm.disks
    )
    result = worst.result if worst else "never"
    return {
        # One that began and has neither end nor job reads like this too: `settle` writes it down.
        "result": "interrupted" if result == "running" else result,
        "under_way": is_verified_now(vm, seen),
        "when": worst.when if worst else "",
        "who": worst.who if worst else "",
        "out_of_sync": sum(disk.verification.out_of_sync for disk in vm.disks),
        "blocked": vm.blocked or noted,
    }


def is_verified_now(vm: Vm, seen: dict[str, dict[str, Any] | None]) -> bool:
    """Whether a daemon says that it is at work on a verification of the VM: its owner's, or
    that of the node where it was when that began."""
    return any(vm.name in one.get("verifying", ()) for one in seen.values() if one)


def _disk(vm: Vm, disk: Disk, seen: dict[str, dict[str, Any] | None]) -> dict[str, Any]:
    node = vm.node if seen.get(vm.node) else vm.other(vm.node)
    one = seen.get(node)
    status = one["resources"].get(disk.resource) if one else None
    status = status or {}
    mine = node == vm.node
    return {
        "id": disk.id,
        "target": disk.target,
        "size": disk.size,
        "storage": disk.storage,
        "pool": None,
        "path": disk.device,
        "drbd": {
            "resource": disk.resource,
            "minor": disk.minor,
            "port": disk.port,
            "connection": status.get("connection", "Unconfigured"),
            "role": status.get("role" if mine else "peer_role", "Unknown"),
            "peer_role": status.get("peer_role" if mine else "role", "Unknown"),
            "disk": status.get("disk" if mine else "peer_disk", "DUnknown"),
            "peer_disk": status.get("peer_disk" if mine else "disk", "DUnknown"),
            "done": status.get("done"),
        },
    }
