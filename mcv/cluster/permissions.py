"""Superusers by name and rights by grant: agreed like the rest, enforced by the table."""

import re
from fnmatch import fnmatchcase

import msgspec
from msgspec import Struct

from mcv.document.rights import Grant, Permissions
from mcv.errors import Refused, refuse_all
from mcv.host import Host
from mcv.rules.rights import HeldRight, Person, Right, Rights
from mcv.system import users

USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]{0,63}\$?")


class User(Struct, frozen=True, kw_only=True):
    """The user whose permissions were changed."""

    user: str


class Granted(Struct, frozen=True, kw_only=True):
    """A right that was given or taken away, and the VMs of today that its pattern fits."""

    who: str
    right: Right
    vm: str
    vms: list[str]


class PermissionList(Struct, frozen=True, kw_only=True):
    """The users who may do everything, by name, and the rights of users and %groups."""

    superusers: list[str]
    grants: list[Grant]


class Checked(Struct, frozen=True, kw_only=True):
    """What a user or %group may do, and what gives it.

    `known`: this node's system knows the user or group; `groups`: those of the user that grants
    name; `open`: nobody has a right, so everybody has all.
    """

    who: str
    known: bool
    open: bool
    groups: list[str]
    rights: list[HeldRight]


def add(host: Host, user: str) -> User:
    """Make a user a superuser. Raises Refused for what is no user name."""
    if not USER.fullmatch(user):
        raise Refused(f"{user!r} is no user name.")
    host.update("permission.add", f"permission add {user}", user=user)
    return User(user=user)


def remove(host: Host, user: str, person: Person) -> User:
    """Make a user a superuser no longer. Raises NotFound where the user is none."""
    host.update(
        "permission.remove", f"permission remove {user}", user=user, **_keeping(host, person)
    )
    return User(user=user)


def grant(host: Host, who: str, right: str, person: Person, vm: str | None = None) -> Granted:
    """Give a user or %group a right over the VMs of a pattern, or over all and the cluster.

    Errors: Refused for what is no right, no pattern or nobody whom this node's system knows,
    all at once; and where nobody but a root shell would be an admin afterwards.
    """
    problems = _problems(who, right, vm)
    if not problems and not users.exists(who):
        kind = "group" if who.startswith("%") else "user"
        problems.append(
            Refused(
                f"{host.name} knows no {kind} {who.lstrip('%')}.",
                "Where other nodes know it, type this there: names are resolved where a command "
                "is typed.",
            )
        )
    refuse_all(problems)
    given = Grant(who=who, right=Right(right).value, vm=vm or "")
    host.update(
        "permission.grant",
        f"permission grant {_words(given)}",
        **msgspec.to_builtins(given),
        **_keeping(host, person),
    )
    return _granted(host, given)


def revoke(host: Host, who: str, right: str, person: Person, vm: str | None = None) -> Granted:
    """Take a right away that was given in these words; of a superuser, admin without a pattern.

    Errors: Refused where nobody but a root shell would be an admin afterwards.
    """
    refuse_all(_problems(who, right, vm))
    taken = Grant(who=who, right=Right(right).value, vm=vm or "")
    permissions = host.read().permissions
    if taken not in permissions.grants and _is_superusers(permissions, taken):
        remove(host, who, person)
        return _granted(host, taken)
    host.update(
        "permission.revoke",
        f"permission revoke {_words(taken)}",
        **msgspec.to_builtins(taken),
        **_keeping(host, person),
    )
    return _granted(host, taken)


def _is_superusers(permissions: Permissions, taken: Grant) -> bool:
    return taken.who in permissions.superusers and taken.right == "admin" and not taken.vm


def _keeping(host: Host, person: Person) -> dict[str, bool]:
    """That an admin has to be left: a root shell stays one, and nobody else surely does.

    In a document without grants whoever takes the last superuser away lets everybody do all.
    """
    return {} if person.root_shell or host.read().schema < 4 else {"keep_admin": True}


def _problems(who: str, right: str, vm: str | None) -> list[Refused]:
    problems = []
    if not USER.fullmatch(who.removeprefix("%")):
        problems.append(Refused(f"{who!r} is no user and no %group."))
    if right not in list(Right):
        problems.append(Refused(f"{right!r} is no right.", f"Rights: {', '.join(Right)}."))
    try:
        msgspec.convert({"who": "x", "right": "view", "vm": vm or ""}, Grant)
    except msgspec.ValidationError:
        problems.append(
            Refused(f"{vm!r} is no pattern of names of VMs.", "Such as: web1, 'web*', 'db[12]'")
        )
    if vm == "":
        problems.append(Refused("An empty pattern fits no VM.", "Leave --vm out for all."))
    return problems


def _words(grant: Grant) -> str:
    return f"{grant.who} {grant.right}" + (f" --vm {grant.vm}" if grant.vm else "")


def _granted(host: Host, grant: Grant) -> Granted:
    vms = [name for name in sorted(host.read().vms) if fnmatchcase(name, grant.vm or "*")]
    return Granted(who=grant.who, right=Right(grant.right), vm=grant.vm, vms=vms)


def list_(host: Host) -> PermissionList:
    """Every superuser and every grant."""
    permissions = host.read().permissions
    return PermissionList(superusers=list(permissions.superusers), grants=list(permissions.grants))


def check(host: Host, who: str) -> Checked:
    """What a user or %group may do by the document and by the groups of this node's system."""
    if not USER.fullmatch(who.removeprefix("%")):
        raise Refused(f"{who!r} is no user and no %group.")
    permissions = host.read().permissions
    if who.startswith("%"):
        person = Person(name="%", groups=(who[1:],))
    else:
        named = {grant.who[1:] for grant in permissions.grants if grant.who.startswith("%")}
        person = Person(name=who, groups=users.groups_of(who, named))
    held = Rights(permissions, person)
    return Checked(
        who=who,
        known=users.exists(who),
        open=held.is_open,
        groups=[] if who.startswith("%") else list(person.groups),
        rights=list(held.held),
    )
