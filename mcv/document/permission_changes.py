"""Changes of who may do what."""

from typing import Any

import msgspec
from msgspec.structs import replace

from mcv.document.generation import ChangeMade
from mcv.document.model import Cluster
from mcv.document.registry import change
from mcv.document.rights import Grant
from mcv.document.schema import require_schema
from mcv.errors import NotFound, Refused


@change("permission.add")
def permission_add(base: Cluster, made: ChangeMade, /, user: str) -> Cluster:
    """Make a user a superuser."""
    users = base.permissions.superusers
    if user in users:
        raise Refused(f"{user} is a superuser already.")
    return _with(base, superusers=tuple(sorted((*users, user))))


@change("permission.remove")
def permission_remove(
    base: Cluster, made: ChangeMade, /, user: str, keep_admin: bool = False
) -> Cluster:
    """Take the rights of a superuser away. With keep_admin Refused for the last admin."""
    users = base.permissions.superusers
    if user not in users:
        raise NotFound(f"{user} is no superuser.", "See: mcv permission list")
    without = tuple(other for other in users if other != user)
    return _with(base, keep_admin, superusers=without)


@change("permission.grant")
def permission_grant(
    base: Cluster,
    made: ChangeMade,
    /,
    who: str,
    right: str,
    vm: str = "",
    keep_admin: bool = False,
) -> Cluster:
    """Give a user or %group a right over the VMs of a pattern; "" is all, and the cluster.

    With keep_admin Refused for the first right where nobody would be an admin then.
    """
    require_schema(base, 4)
    grants = base.permissions.grants
    new = msgspec.convert({"who": who, "right": right, "vm": vm}, Grant)
    if new in grants:
        raise Refused(f"{_said(new)} already.", "See: mcv permission list")
    return _with(base, keep_admin, grants=tuple(sorted((*grants, new))))


@change("permission.revoke")
def permission_revoke(
    base: Cluster,
    made: ChangeMade,
    /,
    who: str,
    right: str,
    vm: str = "",
    keep_admin: bool = False,
) -> Cluster:
    """Take a right away that was given in these words. With keep_admin not the last admin's."""
    require_schema(base, 4)
    grants = base.permissions.grants
    old = msgspec.convert({"who": who, "right": right, "vm": vm}, Grant)
    if old not in grants:
        raise NotFound(f"No grant says: {_said(old)}.", "See: mcv permission list")
    return _with(base, keep_admin, grants=tuple(grant for grant in grants if grant != old))


def _with(base: Cluster, keep_admin: bool = False, **values: Any) -> Cluster:
    permissions = replace(base.permissions, **values)
    if keep_admin and not permissions.is_open and not permissions.has_admin:
        raise Refused(
            "Nobody would have the right admin then, but a root shell that sudo did not open.",
            "First: mcv permission grant WHO admin",
        )
    return replace(base, permissions=permissions)


def _said(grant: Grant) -> str:
    return f"{grant.who} has {grant.right} for {grant.vm or 'all'}"
