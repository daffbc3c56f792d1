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
def permission_remove(base: Cluster, made: ChangeMade, /, user: str) -> Cluster:
    """Take the rights of a superuser away."""
    users = base.permissions.superusers
    if user not in users:
        raise NotFound(f"{user} is no superuser.", "See: mcv permission list")
    return _with(base, superusers=tuple(other for other in users if other != user))


@change("permission.grant")
def permission_grant(
    base: Cluster, made: ChangeMade, /, who: str, right: str, vm: str = ""
) -> Cluster:
    """Give a user or %group a right over the VMs of a pattern; "" is all, and the cluster."""
    require_schema(base, 4)
    grants = base.permissions.grants
    new = msgspec.convert({"who": who, "right": right, "vm": vm}, Grant)
    if new in grants:
        raise Refused(f"{_said(new)} already.", "See: mcv permission list")
    return _with(base, grants=tuple(sorted((*grants, new))))


@change("permission.revoke")
def permission_revoke(
    base: Cluster, made: ChangeMade, /, who: str, right: str, vm: str = ""
) -> Cluster:
    """Take a right away again that was given in these words."""
    require_schema(base, 4)
    grants = base.permissions.grants
    old = msgspec.convert({"who": who, "right": right, "vm": vm}, Grant)
    if old not in grants:
        raise NotFound(f"No grant says: {_said(old)}.", "See: mcv permission list")
    return _with(base, grants=tuple(grant for grant in grants if grant != old))


def _with(base: Cluster, **values: Any) -> Cluster:
    return replace(base, permissions=replace(base.permissions, **values))


def _said(grant: Grant) -> str:
    return f"{grant.who} has {grant.right} for {grant.vm or 'all'}"
