"""What VMs are made of, compared: resource files, domains; and what is left over."""

from collections.abc import Iterator

from mcv.check import definitions
from mcv.check.finding import FIX, ClusterSnapshot, Finding, Fix
from mcv.check.inventory import Domain, Inventory
from mcv.check.resource_files import is_mcvs
from mcv.document.identity import known_uuids
from mcv.document.model import Vm
from mcv.drivers.libvirt_identity import ForeignDomain
from mcv.drivers.libvirt_saved import SAVED
from mcv.rules import domain as domain_rules
from mcv.rules import saved
from mcv.rules.finding import Severity

Findings = Iterator[Finding]


def judge(scene: ClusterSnapshot) -> Findings:
    for vm in scene.cluster.vms.values():
        if scene.at_work(vm):
            yield _at_work(vm)
            continue
        yield from _owner(scene, vm)
        for node, inventory in scene.seen.items():
            if node == vm.node:
                yield from _domain_here(scene, vm, inventory)
            else:
                yield from _domain_elsewhere(vm, inventory)
            yield from _saved(vm, inventory)
    for inventory in scene.seen.values():
        yield from _autostart(inventory)
        yield from _left_domains(scene, inventory)
        yield from _left_resources(scene, inventory)


def _at_work(vm: Vm) -> Finding:
    why = vm.claim.why if vm.claim else "its entry was changed meanwhile"
    return Finding(
        severity=Severity.NOTE,
        node=vm.claim.node if vm.claim else vm.node,
        subject=vm.name,
        message=f"{vm.name} is being changed ({why}), so it was not looked at.",
        hint="Check again when that is done: mcv job list",
    )


def _owner(scene: ClusterSnapshot, vm: Vm) -> Findings:
    if not scene.is_online(vm.node):
        said = domain_rules.owner_offline(vm)
        yield Finding(
            severity=said.severity,
            node=vm.node,
            subject=vm.name,
            message=said.message,
            hint=said.hint,
        )


def _domain_here(scene: ClusterSnapshot, vm: Vm, inventory: Inventory) -> Findings:
    def wrong(message: str, hint: str, deed: str = "") -> Finding:
        fix = Fix(node=inventory.node, deed=deed, subject=vm.name) if deed else None
        return Finding(
            severity=Severity.ERROR,
            node=inventory.node,
            subject=vm.name,
            message=message,
            hint=hint,
            fix=fix,
        )

    if inventory.domains is None:
        return
    foreign = _foreign_domain(vm, inventory)
    if foreign is not None:
        yield foreign
        return
    name, domain = own_domain(vm, inventory)
    again = f"mcv register {vm.name}"
    if domain is None:
        yield wrong(domain_rules.not_defined(vm).message, again, "define")
        return
    if name != vm.name:
        yield wrong(
            f"The domain of {vm.name} on {inventory.node} is called {name}.",
            f"On {inventory.node}, when it is off: virsh domrename {name} {vm.name}",
        )
        return
    if not domain.persistent:
        yield wrong(
            f"{vm.name} runs on {inventory.node}, its owner, and is not defined there.", again
        )
        return
    parts = definitions.differing(scene.cluster, vm, domain)
    if parts:
        yield wrong(
            f"The definition of {vm.name} on {inventory.node} differs: {', '.join(parts)}.",
            f"{again} defines it anew; the next start does, too",
        )


def _saved(vm: Vm, inventory: Inventory) -> Findings:
    """Memory of the VM that is saved: a note, unless it can never go on."""
    state = inventory.saved.get(vm.name)
    if state is not None:
        said = saved.finding(vm, inventory.node, state)
        yield Finding(
            severity=said.severity,
            node=inventory.node,
            subject=vm.name,
            message=said.message,
            hint=said.hint,
        )


def _domain_elsewhere(vm: Vm, inventory: Inventory) -> Findings:
    foreign = _foreign_domain(vm, inventory)
    if foreign is not None:
        yield foreign
    _, domain = own_domain(vm, inventory)
    if domain is None or domain.state == SAVED:
        return
    fix = Fix(node=inventory.node, deed="undefine", subject=vm.name)
    said = domain_rules.elsewhere(vm, inventory.node, domain.state)
    yield Finding(
        severity=Severity.ERROR,
        node=inventory.node,
        subject=vm.name,
        message=said.message,
        hint=said.hint,
        fix=None if domain.is_active else fix,
    )


def own_domain(vm: Vm, inventory: Inventory) -> tuple[str, Domain | None]:
    """The VM's own domain on a node, and its name there: marked, and of the VM's UUID."""
    for name, domain in (inventory.domains or {}).items():
        if domain.ours and domain.substance.uuid == vm.uuid:
            return name, domain
    return vm.name, None


def _foreign_domain(vm: Vm, inventory: Inventory) -> Finding | None:
    """A domain on a node that has the VM's name or UUID and is not the VM's."""
    for name, domain in (inventory.domains or {}).items():
        has_uuid = domain.substance.uuid == vm.uuid
        if (name == vm.name or has_uuid) and not (has_uuid and domain.ours):
            foreign = ForeignDomain(name=name, state=domain.state, marked=domain.ours)
            said = domain_rules.foreign(vm, inventory.node, foreign)
            return Finding(
                severity=said.severity,
                node=inventory.node,
                subject=vm.name,
                message=said.message,
                hint=said.hint,
            )
    return None


def _autostart(inventory: Inventory) -> Findings:
    for name, domain in (inventory.domains or {}).items():
        if domain.autostart and domain.ours:
            yield Finding(
                severity=Severity.WARNING,
                node=inventory.node,
                subject=name,
                message=f"libvirt on {inventory.node} would start {name} by itself when the host "
                "boots, whoever owns it then.",
                hint=FIX,
                fix=Fix(node=inventory.node, deed="autostart", subject=name),
            )


def _left_domains(scene: ClusterSnapshot, inventory: Inventory) -> Findings:
    known = known_uuids(scene.known)
    for name, domain in (inventory.domains or {}).items():
        if not domain.ours or name in known or domain.substance.uuid in known.values():
            continue
        is_kept = domain.is_active or domain.state == SAVED
        fix = None if is_kept else Fix(node=inventory.node, deed="undefine", subject=name)
        verb = "shutdown" if domain.is_active else "managedsave-remove"
        stop = f"On {inventory.node}: virsh {verb} {name}; then: {FIX}"
        yield Finding(
            severity=Severity.ERROR if domain.is_active else Severity.WARNING,
            node=inventory.node,
            subject=name,
            message=f"The domain {name} on {inventory.node} is mcv's, is {domain.state}, "
            "and is in no document.",
            hint=stop if is_kept else FIX,
            fix=fix,
        )


def _left_resources(scene: ClusterSnapshot, inventory: Inventory) -> Findings:
    known = {
        disk.resource
        for cluster in scene.known
        for _, disk in cluster.replicated()
        if inventory.node in disk.places
    }
    for name, file in inventory.files.items():
        if name not in known:
            yield _left(
                inventory, file_of(name), "resource file", "remove-file" if file.ours else ""
            )
    for name, status in (inventory.resources or {}).items():
        if name not in known:
            ours = is_mcvs(name) and not status.is_primary
            yield _left(inventory, name, "DRBD resource", "down" if ours else "")


def file_of(resource: str) -> str:
    return f"/etc/drbd.d/{resource}.res"


def _left(inventory: Inventory, subject: str, what: str, deed: str) -> Finding:
    return Finding(
        severity=Severity.WARNING,
        node=inventory.node,
        subject=subject,
        message=f"The {what} {subject} on {inventory.node} belongs to no VM.",
        hint=FIX if deed else "mcv did not make it, or it is in use, so mcv leaves it alone.",
        fix=Fix(node=inventory.node, deed=deed, subject=subject) if deed else None,
    )
