"""Superusers by name: agreed like the rest, enforced by the table."""

import re
from typing import Any

from mcv.errors import Refused
from mcv.host import Host

USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]{0,63}\$?")


def add(host: Host, user: str) -> dict[str, Any]:
    if not USER.fullmatch(user):
        raise Refused(f"{user!r} is no user name.")
    host.update("permission.add", f"permission add {user}", user=user)
    return {"user": user}


def remove(host: Host, user: str) -> dict[str, Any]:
    host.update("permission.remove", f"permission remove {user}", user=user)
    return {"user": user}


def list_(host: Host) -> dict[str, Any]:
    return {"superusers": list(host.read().permissions.superusers)}
