"""Who may do what: superusers, and rights of users and groups."""

from typing import Annotated, Literal

from msgspec import Meta

from mcv.document.generation import Value

Right = Literal["view", "power", "console", "change", "admin"]

# A user's name, or %group; a pattern over names of VMs, "" for all of them and the cluster.
Who = Annotated[str, Meta(pattern=r"^%?[A-Za-z0-9_.][A-Za-z0-9_.@\\ $-]*\Z", max_length=256)]
VmPattern = Annotated[str, Meta(pattern=r"^[a-z0-9*?\[\]!-]*\Z", max_length=256)]


class Grant(Value, frozen=True, kw_only=True, order=True):
    """A right of a user or %group over the VMs of a pattern; "" is all, and the cluster."""

    who: Who
    right: Right
    vm: VmPattern = ""


class Permissions(Value, frozen=True, kw_only=True):
    """Superusers by name, and grants; while there is neither, sudo alone says who may do all."""

    superusers: tuple[str, ...] = ()
    grants: tuple[Grant, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether nobody was given a right, so that everybody has all."""
        return not self.superusers and not self.grants

    @property
    def whose(self) -> list[str]:
        """The users and %groups that were given a right."""
        return sorted({*self.superusers, *(grant.who for grant in self.grants)})

    @property
    def has_admin(self) -> bool:
        """Whether a user or group has the right admin over the cluster."""
        return bool(self.superusers) or any(
            grant.right == "admin" and not grant.vm for grant in self.grants
        )
