"""Disks that a domain left open, closed by the daemon itself."""

import logging

from mcv.document.subject import Subject
from mcv.errors import Busy, HypervisorFailed, LibvirtSilent, McvError
from mcv.host import Host
from mcv.storage import drbd
from mcv.vm import open_disks
from mcv.vm.power import demote

log = logging.getLogger(__name__)


def reconcile(host: Host) -> None:
    """Give back the disks of domains that ended by themselves; one round of the daemon's loop."""
    for vm in drbd.open_disks(host):
        if vm.claim is not None:
            continue
        try:
            with host.hold(Subject.vm(vm.name), f"look after {vm.name}", timeout=0):
                claimed = any(
                    vm.name in known.vms and known.vms[vm.name].claim for known in host.both()
                )
                is_over = not claimed and not host.domains.is_active(vm.name)
                # A device that is held open would be tried for seconds, under the VM's lock.
                if is_over and not open_disks.holders(host, vm):
                    demote(host, vm)
        except (Busy, HypervisorFailed, LibvirtSilent) as error:
            log.debug("%s: %s", vm.name, error)
        except McvError as error:
            log.warning("the disks of %s: %s", vm.name, error)
