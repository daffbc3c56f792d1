"""Superusers by name: agreed like the rest, enforced by the table."""

import re

from msgspec import Struct

from mcv.errors import Refused
from mcv.host import Host

USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]{0,63}\$?")


class User(Struct, frozen=True, kw_only=True):
    """The user whose permissions were changed."""

    user: str


class Superusers(Struct, frozen=True, kw_only=True):
    """The users who may do everything, by name."""

    superusers: list[str]


def add(host: Host, user: str) -> User:
    """Make a user a superuser. Raises Refused for what is no user name."""
    if not USER.fullmatch(user):
        raise Refused(f"{user!r} is no user name.")
    host.update("permission.add", f"permission add {user}", user=user)
    return User(user=user)


def remove(host: Host, user: str) -> User:
    """Make a user a superuser no longer. Raises NotFound where the user is none."""
    host.update("permission.remove", f"permission remove {user}", user=user)
    return User(user=user)


def list_(host: Host) -> Superusers:
    """Every superuser."""
    return Superusers(superusers=list(host.read().permissions.superusers))
