"""How long ago the VMs of a node were verified: two periods without a verification are too long."""

import time

from mcv.document.disks import Verification
from mcv.document.model import Vm
from mcv.host import Host
from mcv.timestamps import seconds

DAY = 86400.0
MISSED = 2  # periods without a verification after which somebody is needed


def look_back(host: Host) -> None:
    """One round of a slow loop: find out since when VMs of this node were never verified.

    The document does not tell when a VM was made; the oldest generation that has it does.
    """
    waiting = {vm.name: vm.uuid for vm in _own(host) if _is_never(vm)}
    since: dict[str, str] = {}
    for generation in host.consensus.generations() if waiting else ():
        for name, uuid in waiting.items():
            vm = generation.vms.get(name)
            if vm is not None and vm.uuid == uuid:
                since[name] = generation.change.when
    host.never_verified_since = since


def overdue(host: Host) -> dict[str, str]:
    """The VMs of this node that were not verified for two periods, and since when.

    An interrupted verification is a finding of its own.
    """
    limit = time.time() - MISSED * host.settings.verify_period * DAY
    found = {}
    for vm in _own(host):
        since = host.never_verified_since.get(vm.name, "") if _is_never(vm) else _oldest(vm)
        if since and seconds(since) < limit:
            found[vm.name] = since
    return found


def _own(host: Host) -> list[Vm]:
    vms = host.read().vms.values()
    return [vm for vm in vms if vm.node == host.name and _verifications(vm)]


def _verifications(vm: Vm) -> list[Verification]:
    return [disk.verification for disk in vm.replicated if disk.storage == "drbd"]


def _is_never(vm: Vm) -> bool:
    return any(verification.result == "never" for verification in _verifications(vm))


def _oldest(vm: Vm) -> str:
    """When the disk that was verified longest ago was; "" where the last one did not end."""
    ended = [last.when for last in _verifications(vm) if last.result in ("clean", "out-of-sync")]
    return min(ended, default="")
