"""A VM has ended when nothing has its disks open: libvirt forgets a QEMU that waits for I/O."""

import contextlib
from collections.abc import Callable, Iterator

from mcv import storage
from mcv.document.disks import Disk
from mcv.document.model import Vm
from mcv.drivers.open_devices import Holder
from mcv.errors import CommandFailed, DoneInPart, McvError, Refused
from mcv.host import Host


@contextlib.contextmanager
def opened(host: Host, *disks: Disk) -> Iterator[None]:
    """A context in which disks that no domain has are open, and closed afterwards.

    Errors: McvError where a disk cannot be opened.
    """
    with contextlib.ExitStack() as closing:
        for disk in disks:
            storage.of(disk).open(host)
            closing.callback(_close, host, disk)
        yield


def _close(host: Host, disk: Disk) -> None:
    with contextlib.suppress(McvError):  # the daemon closes what no domain has, again and again
        storage.of(disk).close(host)


def holders(host: Host, vm: Vm) -> list[Holder]:
    """What has a disk of the VM open on this node, each once."""
    return list(dict.fromkeys(each for by in storage.holders(host, vm).values() for each in by))


def emulators(host: Host, vm: Vm) -> list[Holder]:
    """The QEMUs among the holders; a VM that libvirt calls stopped should have none."""
    return [holder for holder in holders(host, vm) if holder.is_emulator]


def require_ended(host: Host, vm: Vm) -> None:
    """Raises Refused while a QEMU has a disk of the VM open. Precondition: no active domain.

    Such a QEMU has not ended, whatever libvirt says: it still writes what it had begun to write.
    """
    _refuse(host, vm, emulators)


def require_closed(host: Host, vm: Vm) -> None:
    """Raises Refused while anything has a disk of the VM open. Precondition: no active domain."""
    _refuse(host, vm, holders)


def _refuse(host: Host, vm: Vm, look: Callable[[Host, Vm], list[Holder]]) -> None:
    """Raise Refused for what a look finds, and where a file system does not answer it."""
    try:
        holding = look(host, vm)
    except CommandFailed as error:
        raise Refused(error.message, error.hint) from error
    if holding:
        raise Refused(*_words(host, vm, holding))


def done_but_open(host: Host, vm: Vm, holding: list[Holder]) -> DoneInPart:
    """The error of a stop that left a disk open."""
    return DoneInPart(*_words(host, vm, holding))


def _words(host: Host, vm: Vm, holding: list[Holder]) -> tuple[str, str]:
    """What keeps a disk open, and what ends it."""
    by = ", ".join(map(str, holding))
    if any(holder.is_emulator for holder in holding):
        message = f"{vm.name} has not ended: {host.name} keeps its disk open: {by}."
        if vm.node == host.name:
            return message, f"It ends when its I/O does. See: mcv info {vm.name}"
        # The owner alone has suspended I/O resumed; here it stays so.
        return message, f"Suspended I/O of a copy ends with its host alone: reboot {host.name}"
    message = f"{vm.name} is stopped, but {host.name} keeps its disk open: {by}."
    return message, f"End that on {host.name}; mcvd closes the disk then."
