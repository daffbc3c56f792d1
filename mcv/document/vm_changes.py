"""Changes of one VM, or of a claim on it."""

from typing import Any

import msgspec
from msgspec.structs import replace

from mcv.document.disks import SECTOR, Override, Verification
from mcv.document.generation import ChangeMade
from mcv.document.ha_entry_changes import with_vm_renamed
from mcv.document.ha_entry_changes import without_vm as without_in_ha
from mcv.document.model import Autostart, Cluster, Vm
from mcv.document.names import problem_with_name
from mcv.document.pool_changes import require_place, with_pool_on
from mcv.document.pools import Pool
from mcv.document.registry import (
    busy,
    change,
    claimed,
    new_claim,
    operation_of,
    released,
    require_claim,
)
from mcv.document.schema_3 import with_pools_of
from mcv.document.schema_4 import assigned, with_home
from mcv.document.service_changes import require_free_name
from mcv.document.subject import Subject
from mcv.document.vm_nics import require_nics
from mcv.errors import Busy, Refused


def require_whole(base: Cluster, image: str) -> None:
    """Raise Refused unless a node has an image whole."""
    if not base.image(image).ready:
        raise Refused(f"No node has the image {image} whole.", "See: mcv image list")


@change("vm.claim")
def vm_claim(base: Cluster, made: ChangeMade, /, name: str, why: str) -> Cluster:
    """Claim a VM; Busy while another operation has claimed it."""
    return base.with_vm(claimed(base, made, name, base.vm(name), why))


@change("vm.release")
def vm_release(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    """End the claim; nothing to do where the VM, or this operation's claim, is gone."""
    vm = released(made, base.vms.get(name))
    return base if vm is None else base.with_vm(vm)


@change("vm.add")
def vm_add(
    base: Cluster,
    made: ChangeMade,
    /,
    vm: dict[str, Any],
    why: str,
    pools: dict[str, Any] | None = None,
) -> Cluster:
    """A new VM's entry comes with its claim; what it needs for itself must still be free.

    `pools` are those of its disks that the document lacks, or lacks nodes of.
    """
    new = msgspec.convert(vm, Vm)
    require_free_name(base, new.name)
    for node in new.nodes:
        base.node(node)
    require_nics(base, new)
    if new.cd:
        require_whole(base, new.cd)
    taken = [disk for _, disk in base.disks()]
    for disk in new.disks:
        if clash := next(filter(None, map(disk.clash, taken)), ""):
            raise Busy(f"{clash} has been taken meanwhile.")
    for pool, entry in (pools or {}).items():
        base = with_pool_on(base, pool, msgspec.convert(entry, Pool))
    if base.schema >= 3:  # plans of before have disks without pools
        base, new = with_pools_of(base, new)
    if base.schema >= 4:
        new = with_home(new)
    for disk in new.disks:
        require_place(base, made, disk)
    return base.with_vm(replace(new, claim=new_claim(base, made, why)))


@change("vm.remove")
def vm_remove(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    """Take a VM out, under this operation's claim; without effect where it is gone.

    What high availability knows of it goes along: a new VM of the name has none of it.
    """
    if name not in base.vms:
        return base
    require_claim(base, made, name)
    return without_in_ha(base.without_vm(name), name)


@change("vm.rename")
def vm_rename(base: Cluster, made: ChangeMade, /, name: str, new: str) -> Cluster:
    """Give a VM another name, under this operation's claim, which goes along as it is.

    Its UUID, and the names of its volumes and resources, stay; its entry of high availability and
    its ties go along. Errors: Refused where another VM or a service has the name, or it is none.
    """
    vm = require_claim(base, made, name)
    if problem := problem_with_name(new, "VM"):
        raise problem
    require_free_name(base, new)
    left = with_vm_renamed(base.without_vm(name), name, new)
    return left.with_vm(replace(vm, name=new))


@change("vm.assign")
def vm_assign(
    base: Cluster, made: ChangeMade, /, name: str, node: str, home: bool = True
) -> Cluster:
    """Give a VM another owner, under this operation's claim; from schema 2 on, renew it too.

    With `home` its home moves with it, from schema 4 on: an operator put it there. Otherwise the
    home stays, as after a takeover.
    """
    base.node(node)
    vm = require_claim(base, made, name)
    if base.schema >= 2 and node != vm.node:
        vm = vm.renewed()
    return base.with_vm(assigned(base, vm, node, home))


@change("vm.renew")
def vm_renew(base: Cluster, made: ChangeMade, /, name: str) -> Cluster:
    """Raise the incarnation, under this operation's claim, before the disks' data changes."""
    return base.with_vm(require_claim(base, made, name).renewed())


@change("vm.update")
def vm_update(
    base: Cluster, made: ChangeMade, /, name: str, memory: int | None, cpus: int | None
) -> Cluster:
    """Change memory or processors, under this operation's claim."""
    vm = require_claim(base, made, name)
    return base.with_vm(
        replace(
            vm,
            memory=vm.memory if memory is None else memory,
            cpus=vm.cpus if cpus is None else cpus,
        )
    )


@change("vm.set_cd")
def vm_set_cd(base: Cluster, made: ChangeMade, /, name: str, cd: str) -> Cluster:
    """Give a VM another CD, "" for none, under this operation's claim.

    Refused unless a node has the image whole: from then on the image is in use.
    """
    vm = require_claim(base, made, name)
    if base.schema < 3:
        raise Refused(f"The CD of {name} cannot be written down yet.")
    if cd:
        require_whole(base, cd)
    return base.with_vm(replace(vm, cd=cd))


@change("vm.set_start")
def vm_set_start(
    base: Cluster,
    made: ChangeMade,
    /,
    name: str,
    autostart: Autostart | None = None,
    start_order: int | None = None,
    start_delay: int | None = None,
) -> Cluster:
    """Change whether and when a VM starts with its node, under this operation's claim."""
    vm = require_claim(base, made, name)
    return base.with_vm(
        replace(
            vm,
            autostart=vm.autostart if autostart is None else autostart,
            start_order=vm.start_order if start_order is None else start_order,
            start_delay=vm.start_delay if start_delay is None else start_delay,
        )
    )


@change("vm.lock")
def vm_lock(base: Cluster, made: ChangeMade, /, name: str, locked: bool) -> Cluster:
    """Lock or unlock a VM; Busy while an operation has claimed it."""
    vm = base.vm(name)
    if vm.locked == locked:
        raise Refused(f"{name} is {'locked already' if locked else 'not locked'}.")
    if vm.claim is not None:
        raise busy(name, vm.claim)
    return base.with_vm(replace(vm, locked=locked))


@change("vm.verified")
def vm_verified(
    base: Cluster, made: ChangeMade, /, name: str, disk: int, verification: dict[str, Any]
) -> Cluster:
    """Write down a verification's beginning or its end.

    A finding always counts, any other end only for the verification that began last; a mark
    is lifted by a clean one alone.
    """
    vm = base.vm(name)
    old = vm.replica(disk)
    new = msgspec.convert(verification, Verification)
    last = (old.verification.result, old.verification.operation)
    if new.result in ("clean", "interrupted") and last != ("running", new.operation):
        raise Refused(f"That verification of {name} is not the last one any more.")
    blocked = (old.verification.blocked or new.result == "out-of-sync") and new.result != "clean"
    return base.with_vm(vm.with_disk(replace(old, verification=replace(new, blocked=blocked))))


@change("disk.sized")
def disk_sized(base: Cluster, made: ChangeMade, /, name: str, disk: int, size: int) -> Cluster:
    """Write down how large a replicated disk is, which DRBD is told from then on.

    Without effect where that is known. Refused for less than the document says: the bytes
    behind it would be lost. Busy while an operation has claimed the VM.
    """
    vm = base.vm(name)
    old = vm.replica(disk)
    if old.exact:
        return base
    if vm.claim is not None:
        raise busy(name, vm.claim)
    if base.schema < 3 or size < old.size or size % SECTOR:
        raise Refused(f"Disk {disk} of {name} is not of {size} bytes: it has {old.size}.")
    return base.with_vm(vm.with_disk(replace(old, size=size, exact=True)))


@change("vm.override")
def vm_override(base: Cluster, made: ChangeMade, /, name: str, what: str) -> Cluster:
    """Record that a failed verification was ignored once."""
    return base.with_vm(
        replace(base.vm(name), override=Override(who=made.who, when=made.when, what=what))
    )


@change("claim.take_over")
def claim_take_over(base: Cluster, made: ChangeMade, /, subject: str, why: str) -> Cluster:
    """Give the claim of an operation another node and a new number."""
    claimed = Subject.parse(subject)
    name, old = claimed.name, base.claim_of(claimed)
    if old is None or old.operation != operation_of(made):
        raise Refused(f"{name} is not claimed by that operation any more.", "See: mcv locks list")
    claim = new_claim(base, made, why)
    return base.with_claim(claimed, claim)
