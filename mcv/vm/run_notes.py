"""Notes of the VMs that run on this host, durable: what ran is known after the host went down.

A note is a file for each VM. It is there before the VM starts or arrives here, and it goes
when somebody stops the VM, or its guest ends by itself while the host stays up.
"""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec

from mcv.document.generation import Value
from mcv.document.names import NAME
from mcv.errors import LibvirtSilent, McvError, OutcomeOpen
from mcv.host import Host
from mcv.system import files
from mcv.timestamps import timestamp

log = logging.getLogger(__name__)

END = ".json"
AT_NEXT_BOOT = ""  # the boot of a note that asks for a start and comes from no run


class RunNote(Value, frozen=True, kw_only=True):
    """A VM that is to run here: the boot of this host in which it was started or arrived.

    `asked` is when its guest was asked to shut down (seconds since the epoch), 0 for never.
    """

    boot: str
    since: str
    asked: float = 0.0


def path(host: Host, name: str) -> Path:
    return files.child(_directory(host), f"{name}{END}")


def _directory(host: Host) -> Path:
    return host.settings.notes / "running"


def read(host: Host, name: str) -> RunNote | None:
    """The note of a VM; None where there is none. One that cannot be read is put aside."""
    return files.read_or_set_aside(path(host, name), RunNote)


def noted(host: Host) -> list[str]:
    """The VMs that have a note, by name."""
    names = [path.name.removesuffix(END) for path in _directory(host).glob(f"*{END}")]
    return sorted(name for name in names if NAME.fullmatch(name))


def write(host: Host, name: str, asked: float = 0.0) -> None:
    """Note durably that a VM runs in this boot.

    A disk without room is no reason not to start a VM: the error is logged, and the loop
    tries again while the VM runs.
    """
    note = RunNote(boot=host.observations.boot, since=timestamp(), asked=asked)
    _write(host, name, note)


def write_due(host: Host, name: str) -> None:
    """Note durably that a VM is to be started in this boot although it did not run before."""
    _write(host, name, RunNote(boot=AT_NEXT_BOOT, since=timestamp()))


def _write(host: Host, name: str, note: RunNote) -> None:
    try:
        files.write_atomically(path(host, name), msgspec.json.encode(note).decode())
    except (OSError, McvError) as error:
        log.error("the note that %s runs cannot be written: %s", name, error)


@contextlib.contextmanager
def around_start(host: Host, name: str) -> Iterator[None]:
    """Note a start before it is made; a start that fails leaves the note as it was.

    The note of a VM that is due since the host came up stays until the VM runs: killed in
    between, the daemon tries again.
    """
    before = read(host, name)
    is_due = before is not None and before.boot != host.observations.boot and not before.asked
    if not is_due:
        write(host, name)
    try:
        yield
    except (LibvirtSilent, OutcomeOpen):
        raise  # libvirt may start it yet; the loop looks what became of it
    except McvError:
        if before is None:
            remove(host, name)
        elif not is_due:
            _write(host, name, before)
        raise
    if is_due:
        write(host, name)


def remove(host: Host, name: str) -> None:
    """Take a VM's note away durably: it does not start by itself. Harmless where there is none.

    A disk that takes no write holds no stop up: the error is logged, and the loop tries again.
    """
    note = path(host, name)
    try:
        if note.exists():
            files.remove(note)
    except (OSError, McvError) as error:
        log.error("the note that %s runs cannot be removed: %s", name, error)
