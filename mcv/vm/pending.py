"""What of a VM that runs waits for its next start, and bringing about at once what can be."""

import functools
import logging
import time
from collections.abc import Callable

from mcv.document.model import Vm
from mcv.drivers.domain_shape import Difference, Shape, differences, shape
from mcv.errors import LibvirtSilent, McvError, Refused
from mcv.host import Host
from mcv.vm import definition

log = logging.getLogger(__name__)

SETTLING = 2.0  # s that a guest has to give memory back before the answer says that it has not
POLL = 0.1


def pending(host: Host, name: str) -> list[str]:
    """For a member that asks: in words, what the domain that runs here has otherwise.

    The domain itself is compared with what its next start would make of the document, so the
    answer is right after a crash, a migration and an update of mcv.
    """
    return [difference.text for difference in of(host, host.read().vm(name))]


def of(host: Host, vm: Vm) -> list[Difference]:
    """In what the domain that runs here is not what a VM like that would be started as.

    Nothing where it does not run. Errors: McvError of libvirt.
    """
    if not host.domains.is_active(vm.name):
        return []
    return differences(shape(host.domains.xml(vm.name)), definition.shape_of(host, vm))


def adjust(host: Host, name: str) -> None:
    """A step: have the domain that runs here be what the document says, where libvirt can.

    Each part is tried. Errors: Refused, naming the parts that failed: they count from the next
    start on.
    """
    vm = host.both()[-1].vm(name)
    if not host.domains.is_active(name):
        return
    running = shape(host.domains.xml(name))
    wanted = definition.shape_of(host, vm)
    problems = [*_machine(host, name, running, wanted), *_disks(host, name, running, wanted)]
    if problems:
        raise Refused(
            f"{name} has a part of it from its next start on only: {' '.join(problems)}",
            f"What that is: mcv info {name}",
        )


def _machine(host: Host, name: str, running: Shape, wanted: Shape) -> list[str]:
    """Bring memory, CPUs and the limit about; what libvirt said against it."""
    live, problems = host.domains.machine, []
    vm = host.both()[-1].vm(name)
    if running.memory != wanted.memory and wanted.memory <= running.most_memory:
        problems += _tried(lambda: live.set_memory(name, vm.memory))
    if running.cpus < wanted.cpus <= running.most_cpus:
        problems += _tried(lambda: live.set_cpus(name, wanted.cpus))
    if running.cpu_limit != wanted.cpu_limit:
        problems += _tried(lambda: live.set_cpu_limit(name, wanted.cpu_limit))
    return problems


def _disks(host: Host, name: str, running: Shape, wanted: Shape) -> list[str]:
    problems = []
    for target in sorted(running.disks.keys() & wanted.disks.keys()):
        old, new = running.disks[target], wanted.disks[target]
        if (old.iops, old.bandwidth) != (new.iops, new.bandwidth):
            throttle = functools.partial(
                host.domains.disks.throttle, name, target, new.iops, new.bandwidth
            )
            problems += _tried(throttle)
    return problems


def _tried(change: Callable[[], None]) -> list[str]:
    """Try a change of the domain; what libvirt said against it. A silent libvirt is waited for."""
    try:
        change()
    except LibvirtSilent:
        raise
    except McvError as error:
        return [error.message]
    return []


def settled(host: Host, name: str) -> list[Difference]:
    """What of a VM waits for its next start, when its guest has had time to give memory back.

    Nothing is known of a libvirt that does not answer: then nothing is told.
    """
    until = time.monotonic() + SETTLING
    while True:
        try:
            found = of(host, host.read().vm(name))
        except McvError as error:
            log.info("what of %s is pending: %s", name, error)
            return []
        if not any(each.is_live for each in found) or time.monotonic() > until:
            return found
        time.sleep(POLL)
