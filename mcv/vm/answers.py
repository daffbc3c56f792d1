"""What the verbs of VMs answer an operator."""

from msgspec import Struct

from mcv.document.model import Vm


class VmState(Struct, frozen=True, kw_only=True):
    """The state that a VM is in now, in libvirt's words, and the node that it is on.

    `restored` is whether it goes on with memory that was saved.
    """

    name: str
    node: str
    state: str
    restored: bool = False


class Stopped(VmState, frozen=True, kw_only=True):
    """A VM that was stopped; `meanwhile` tells of the operation that was under way, or is ""."""

    meanwhile: str = ""


class Rounded(Struct, frozen=True, kw_only=True):
    """A disk whose size is not the one that was asked for, in bytes."""

    disk: int
    asked: int
    size: int


class Created(Struct, frozen=True, kw_only=True):
    """A VM that was created: its owner, where it may run, and its entry in the document.

    `started` is whether it was started; `rounded` are the disks that are larger than asked for.
    """

    name: str
    node: str
    nodes: tuple[str, ...]
    vm: Vm
    started: bool = False
    rounded: tuple[Rounded, ...] = ()


class Moved(Struct, frozen=True, kw_only=True):
    """A VM's new owner, and whether the VM was started there."""

    name: str
    node: str
    started: bool


class Updated(Struct, frozen=True, kw_only=True):
    """A VM's size: memory in bytes; in words what was changed.

    `pending` is what the VM, which runs, has from its next start on, also of earlier changes;
    `active` is whether there is any of it.
    """

    name: str
    memory: int
    cpus: int
    said: str
    active: bool
    pending: list[str] = []


class Renamed(Struct, frozen=True, kw_only=True):
    """A VM that has another name now, the name that it had, and its owner."""

    name: str
    former: str
    node: str


class Locked(Struct, frozen=True, kw_only=True):
    """Whether an administrator's lock holds a VM."""

    name: str
    locked: bool


class Deleted(Struct, frozen=True, kw_only=True):
    """A VM that is gone, and the logical volumes that were kept."""

    name: str
    kept: list[str]


class Registered(Struct, frozen=True, kw_only=True):
    """A VM that is defined on its owner, and the node that it was taken over from."""

    name: str
    node: str
    taken_over_from: str | None


class Unregistered(Struct, frozen=True, kw_only=True):
    """A VM whose definition was taken away on its owner."""

    name: str
    node: str
