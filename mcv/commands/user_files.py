"""Files named on the command line: opened with the rights of who typed them.

mcv runs as root; behind sudo somebody else named the file, and may name only what that
somebody may read.
"""

import contextlib
import os
import pwd
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mcv.errors import Refused

NOBODY = 65534
SHELLS = Path("/etc/shells")
SU = ("/bin/su", "/usr/bin/su")
FIRST_LINE_LIMIT = 64 * 1024


@contextlib.contextmanager
def opened(path: str, environment: Mapping[str, str] = os.environ) -> Iterator[int]:
    """Hold a file open for reading; Refused where whoever typed its name may not read it."""
    whose = _whose(environment)
    with acting_as_typist(environment):
        try:
            # A pipe without a writer must not hold the command up.
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise Refused(f"{path} cannot be read: {why}.", whose) from error
    try:
        yield fd
    finally:
        os.close(fd)


def unreadable(paths: Iterable[str]) -> list[Refused]:
    """Why files cannot be opened by whoever typed their names; nothing where they can."""
    found = []
    for path in paths:
        try:
            with opened(path):
                pass
        except Refused as problem:
            found.append(problem)
    return found


@contextlib.contextmanager
def acting_as_typist(environment: Mapping[str, str]) -> Iterator[None]:
    """Take on the rights of the typist for a moment; without sudo, or for root, none changes."""
    uid = _typist(environment)
    if uid == 0 or os.geteuid() != 0:
        yield
        return
    gid, groups = _groups(uid, environment)
    old_gid, old_groups = os.getegid(), os.getgroups()
    try:
        os.setgroups(groups)
        os.setegid(gid)
        os.seteuid(uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(old_gid)
        os.setgroups(old_groups)


def typist(environment: Mapping[str, str]) -> tuple[int, int, list[int]]:
    """The uid, gid and groups of who typed the command; root's without sudo."""
    uid = _typist(environment)
    return (0, 0, [0]) if uid == 0 else (uid, *_groups(uid, environment))


def _typist(environment: Mapping[str, str]) -> int:
    """The uid that sudo names, by number or at least by name; root's where there was no sudo.

    In a root shell, where sudo's variables stay set, it is root's.
    """
    if is_root_shell(environment):
        return 0
    name = environment.get("SUDO_USER", "root")
    text = environment.get("SUDO_UID")
    if text is not None:
        if text.isascii() and text.isdecimal():
            return int(text)
        raise Refused(f"SUDO_UID is no user: {text!r}.")
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError) as error:
        raise Refused(f"SUDO_USER is no user: {name!r}.") from error


def is_root_shell(environment: Mapping[str, str], shells: Path = SHELLS) -> bool:
    """Whether sudo started a shell (sudo -i, sudo -s, sudo su), and the command was typed in it.

    sudo itself sets SUDO_COMMAND. Whoever may start a root shell by sudo may read any file; a
    sudoers line for mcv alone, or for a script that calls it, starts none.
    """
    program = environment.get("SUDO_COMMAND", "").partition(" ")[0]
    try:
        known = shells.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        known = []
    return program.startswith("/") and (program in known or program in SU)


def _whose(environment: Mapping[str, str]) -> str:
    """Whose rights counted, in words; "" for root."""
    uid = _typist(environment)
    if uid == 0 or os.geteuid() != 0:
        return ""
    name = environment.get("SUDO_USER") or f"uid {uid}"
    return f"It is opened with the rights of {name}, who typed it."


def _groups(uid: int, environment: Mapping[str, str]) -> tuple[int, list[int]]:
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        text = environment.get("SUDO_GID", "")
        return (int(text) if text.isdecimal() else NOBODY), []
    return user.pw_gid, os.getgrouplist(user.pw_name, user.pw_gid)


def first_line(path: str, environment: Mapping[str, str] = os.environ) -> str:
    """The first line of a file: a password, which never is a word of the command line."""
    with opened(path, environment) as fd:
        try:
            os.set_blocking(fd, True)
            # Some editors begin a file with a byte order mark.
            text = os.read(fd, FIRST_LINE_LIMIT).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"{path} cannot be read as text (UTF-8).") from error
    line = text.splitlines()[0] if text else ""
    if not line:
        raise Refused(f"{path} has no password in its first line.")
    return line


def text(path: str, environment: Mapping[str, str] = os.environ) -> str:
    """A small file whole: a key, which never is a word of the command line."""
    with opened(path, environment) as fd:
        try:
            os.set_blocking(fd, True)
            found = os.read(fd, FIRST_LINE_LIMIT + 1).decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"{path} cannot be read as text (UTF-8).") from error
    if not found or len(found) > FIRST_LINE_LIMIT:
        raise Refused(f"{path} is no key: it is {'too large' if found else 'empty'}.")
    return found
