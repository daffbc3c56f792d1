"""Authentication of callers: local root by socket credentials, a member by its certificate."""

import pwd
import socket
import struct
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mcv.errors import NotPermitted

UNSET = 4294967295
MAX_NAME = 256


@dataclass(frozen=True)
class Caller:
    """The authenticated caller: an operator by the human's name, a peer by its node's name.

    A superuser's shell is root without sudo: permissions do not limit it.
    """

    kind: Literal["operator", "peer"]
    name: str
    pid: int = 0
    sudo_uid: int | None = None
    superuser_shell: bool = False


def check_credentials(sock: socket.socket, allowed_uid: int = 0) -> int:
    """The pid at the other end of a unix socket; raise NotPermitted unless its uid may.

    The kernel noted both when the caller connected; nothing that it sent is read.
    """
    size = struct.calcsize("3i")
    pid, uid, _gid = struct.unpack(
        "3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    if uid != allowed_uid:
        raise NotPermitted("Only root may talk to mcvd.", "Try: sudo mcv")
    return int(pid)


def operator(pid: int, context: dict[str, Any], proc: Path = Path("/proc")) -> Caller:
    """Return the operator behind a call: the user sudo names, checked against the login uid.

    The login uid outlives su and sudo, so a login uid that is neither root's nor the
    uid sudo names takes precedence.
    """
    name, uid = _sudo(context)
    shell = uid == 0 or not name
    login = _login_uid(pid, proc)
    if login not in (None, 0, uid):
        return Caller("operator", _name_of_uid(login or 0), pid, uid, shell)
    return Caller("operator", name or "root", pid, uid, shell)


def _sudo(context: dict[str, Any]) -> tuple[str, int | None]:
    """What sudo says: the user and the uid, each of which may name the other.

    Neither is set for a root shell; set and empty is what sudo never says.
    """
    name = context.get("sudo_user") or ""
    said = str(context.get("sudo_uid") or "")
    if not isinstance(name, str) or len(name) > MAX_NAME or _has_control(name):
        raise NotPermitted("SUDO_USER is not a user's name.")
    if said and not (said.isascii() and said.isdecimal() and int(said) < UNSET):
        raise NotPermitted("SUDO_UID is not a number.")
    uid = int(said) if said else None
    if context.get("sudo_uid") == "" or (context.get("sudo_user") == "" and not uid):
        raise NotPermitted("SUDO_USER or SUDO_UID is set and empty.", "sudo sets both.")
    if not name:
        return (_name_of_uid(uid), uid) if uid else ("", uid)
    try:
        known = pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        return name, uid
    if uid is not None and known != uid:
        raise NotPermitted(f"SUDO_USER and SUDO_UID disagree: {name} is not {uid}.")
    return name, known


def _has_control(text: str) -> bool:
    return any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in text)


def _login_uid(pid: int, proc: Path) -> int | None:
    try:
        uid = int((proc / str(pid) / "loginuid").read_text())
    except (OSError, ValueError):
        return None
    return None if uid == UNSET else uid


def _name_of_uid(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
