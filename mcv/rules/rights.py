"""Who may do what: the rights of a person on VMs and on the cluster, by the document's grants."""

from enum import StrEnum
from fnmatch import fnmatchcase

from msgspec import Struct

from mcv.document.rights import Permissions


class Right(StrEnum):
    """What an operator needs to be allowed; each right includes those before it."""

    VIEW = "view"  # see a VM, its state and its load
    POWER = "power"  # start, stop, reset, pause, migrate it
    CONSOLE = "console"  # its screen, its serial line, commands in its guest
    CHANGE = "change"  # create, change, move disks of, verify, delete it
    ADMIN = "admin"  # members, networks, pools, DRBD, permissions, repair

    @property
    def rank(self) -> int:
        """0 for the least."""
        return list(Right).index(self)

    def includes(self, other: "Right") -> bool:
        return self.rank >= other.rank


class Person(Struct, frozen=True, kw_only=True):
    """The human behind a call: the name, and those groups of the system that grants name.

    A root shell is root without sudo: permissions do not limit it.
    """

    name: str
    groups: tuple[str, ...] = ()
    root_shell: bool = False


class HeldRight(Struct, frozen=True, kw_only=True):
    """A right over the VMs of a pattern ("" is all, and the cluster), and what gives it."""

    right: Right
    vm: str
    by: str

    def is_for(self, vm: str) -> bool:
        return self.is_for_all or fnmatchcase(vm, self.vm)

    @property
    def is_for_all(self) -> bool:
        return not self.vm


class Rights:
    """What a person may do. While the document gives nobody a right, everybody has all."""

    def __init__(self, permissions: Permissions, person: Person) -> None:
        self.person = person
        self.is_open = permissions.is_open
        self.held = tuple(_held(permissions, person))

    @property
    def unlimited(self) -> bool:
        """Whether nothing is kept from the person, by whatever name."""
        return self.on_all(Right.ADMIN)

    def on_all(self, right: Right) -> bool:
        """Whether the person has a right over the cluster and every VM."""
        if self.is_open or self.person.root_shell:
            return True
        return any(held.is_for_all and held.right.includes(right) for held in self.held)

    def on_vm(self, right: Right, vm: str) -> bool:
        """Whether the person has a right over a VM of that name, be there one or not."""
        is_held = any(held.is_for(vm) and held.right.includes(right) for held in self.held)
        return is_held or self.on_all(right)

    def anywhere(self, right: Right) -> bool:
        """Whether there may be a VM over which the person has a right."""
        return self.on_all(right) or any(held.right.includes(right) for held in self.held)

    def sees(self, vm: str) -> bool:
        return self.on_vm(Right.VIEW, vm)


def _held(permissions: Permissions, person: Person) -> list[HeldRight]:
    names = {f"%{group}" for group in person.groups}
    if not person.name.startswith("%"):
        names.add(person.name)
    held = [
        HeldRight(right=Right(grant.right), vm=grant.vm, by=grant.who)
        for grant in permissions.grants
        if grant.who in names
    ]
    if person.name in permissions.superusers:
        held.insert(0, HeldRight(right=Right.ADMIN, vm="", by=f"{person.name}, a superuser"))
    return held
