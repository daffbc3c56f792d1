"""Notes of mirrors, durable on the VM's node: which of two volumes is whole, without its QEMU.

A note is there before a mirror begins, and says that its target is not whole. The guest stands
still while its domain goes over to the target, and goes on only when that is noted. So where the
domain is gone, the target is whole if and only if the note says so.
"""

from pathlib import Path

import msgspec

from mcv.document.generation import Value
from mcv.document.names import Name
from mcv.errors import Unreadable
from mcv.host import Host
from mcv.system import files

ENDING = ".mirror.json"


class MirrorNote(Value, frozen=True, kw_only=True):
    """A volume of a VM that its running domain is to go over to.

    `whole`: the domain went over, or the volume was filled since. `paused`: the guest stands
    still for it, and is to go on.
    """

    volume: str
    whole: bool = False
    paused: bool = False


def read(host: Host, name: Name) -> MirrorNote | None:
    """The note about a VM; None where there is none. An unreadable one says no volume is whole."""
    try:
        return files.read_as(_path(host, name), MirrorNote)
    except Unreadable:
        return MirrorNote(volume="")


def write(host: Host, name: Name, note: MirrorNote) -> None:
    files.write_atomically(_path(host, name), msgspec.json.encode(note).decode())


def remove(host: Host, name: Name) -> None:
    """From now on nothing is mirrored; harmless when nothing was."""
    files.remove(_path(host, name))


def noted(host: Host) -> list[str]:
    """The VMs that have a note, by name."""
    paths = sorted(host.settings.notes.glob(f"*{ENDING}"))
    return [path.name.removesuffix(ENDING) for path in paths]


def _path(host: Host, name: str) -> Path:
    return files.child(host.settings.notes, f"{name}{ENDING}")
