"""Users and groups of this host, membership, and whether users see the arguments of others."""

import grp
import os
import pwd
import re
from collections.abc import Iterable
from pathlib import Path

FIRST_PERSON = 1000  # Debian's first user id of a person
NOBODY = 65534
NO_LOGIN = ("nologin", "false", "sync")

# hidepid of 1 and more (or noaccess, invisible, ptraceable) hides the arguments of others.
HIDDEN = re.compile(r"(^|,)hidepid=(?!0|off)")


def who_see_arguments(
    mounts: Path = Path("/proc/1/mounts"), users: Iterable[pwd.struct_passwd] | None = None
) -> list[str]:
    """The users who may log in and see all arguments; none where /proc hides them."""
    if _hides_arguments(mounts):
        return []
    people = pwd.getpwall() if users is None else users
    return sorted(user.pw_name for user in people if _may_log_in(user))


def _hides_arguments(mounts: Path) -> bool:
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    words = [line.split() for line in lines]
    return any(row[1] == "/proc" and HIDDEN.search(row[3]) for row in words if len(row) > 3)


def _may_log_in(user: pwd.struct_passwd) -> bool:
    is_person = FIRST_PERSON <= user.pw_uid != NOBODY
    return is_person and not user.pw_shell.endswith(NO_LOGIN)


def exists(who: str) -> bool:
    """Whether this host knows a user, or a group where the name begins with %."""
    try:
        if who.startswith("%"):
            grp.getgrnam(who[1:])
        else:
            pwd.getpwnam(who)
    except (KeyError, ValueError):
        return False
    return True


def groups_of(user: str, among: Iterable[str]) -> tuple[str, ...]:
    """Those of the named groups that this host's user is in, by primary group or membership.

    A group that this host does not know has no members here, and neither has an unknown user.
    """
    try:
        entry = pwd.getpwnam(user)
        ids = set(os.getgrouplist(user, entry.pw_gid))
    except (KeyError, ValueError):
        return ()
    return tuple(sorted(group for group in set(among) if _id_of(group) in ids))


def _id_of(group: str) -> int | None:
    try:
        return grp.getgrnam(group).gr_gid
    except (KeyError, ValueError):
        return None
