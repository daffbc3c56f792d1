"""Who typed it: sudo's word, checked against the login uid where the kernel keeps one."""

import os
import pwd
from pathlib import Path

import pytest

from mcv.errors import NotPermitted
from mcv.rpc import auth

NOBODY = pwd.getpwnam("nobody")
DAEMON = pwd.getpwnam("daemon")
UNSET = str(auth.UNSET)


def proc(tmp_path: Path, login: str | None) -> Path:
    directory = tmp_path / "77"
    directory.mkdir()
    if login is not None:
        (directory / "loginuid").write_text(login)
    return tmp_path


def context(user: pwd.struct_passwd) -> dict[str, str]:
    return {"sudo_user": user.pw_name, "sudo_uid": str(user.pw_uid)}


@pytest.mark.parametrize(
    ("story", "said", "login", "name", "shell"),
    [
        ("a root shell", {}, UNSET, "root", True),
        ("a root login", {}, "0", "root", True),
        ("a kernel without login uids", {}, None, "root", True),
        ("sudo", context(NOBODY), str(NOBODY.pw_uid), "nobody", False),
        ("sudo, no login uid", context(NOBODY), UNSET, "nobody", False),
        ("sudo after a root login", context(NOBODY), "0", "nobody", False),
        ("sudo says another than the login", context(NOBODY), str(DAEMON.pw_uid), "daemon", False),
        ("su to root", {}, str(NOBODY.pw_uid), "nobody", True),
        ("sudo by root", {"sudo_user": "root", "sudo_uid": "0"}, UNSET, "root", True),
        ("a uid without a name", {"sudo_uid": str(NOBODY.pw_uid)}, UNSET, "nobody", False),
        (
            "an empty name",
            {"sudo_user": "", "sudo_uid": str(NOBODY.pw_uid)},
            UNSET,
            "nobody",
            False,
        ),
        ("a name without a uid", {"sudo_user": "nobody"}, UNSET, "nobody", False),
        ("a user of a directory", {"sudo_user": "un known", "sudo_uid": "9"}, UNSET, "un known", 0),
        ("a login that has no name", {}, "123456", "uid 123456", True),
    ],
)
def test_the_operator_is_named(
    tmp_path: Path, story: str, said: dict[str, str], login: str | None, name: str, shell: bool
) -> None:
    caller = auth.operator(77, said, proc(tmp_path, login))

    assert (caller.kind, caller.name, caller.pid) == ("operator", name, 77)
    assert caller.superuser_shell == bool(shell)


@pytest.mark.parametrize(
    "said",
    [
        {"sudo_user": "evil\nroot"},
        {"sudo_user": "evil\x1b[2J"},
        {"sudo_user": "evil\u202eroot"},
        {"sudo_user": "x" * 300},
        {"sudo_user": ["root"]},
        {"sudo_user": "nobody", "sudo_uid": "0"},
        {"sudo_user": "nobody", "sudo_uid": "-1"},
        {"sudo_user": ""},
        {"sudo_user": "", "sudo_uid": ""},
        {"sudo_user": "", "sudo_uid": "0"},
        {"sudo_user": "nobody", "sudo_uid": ""},
        {"sudo_uid": ""},
        {"sudo_user": "nobody", "sudo_uid": "٣"},
    ],
)
def test_what_sudo_cannot_have_said_is_refused(tmp_path: Path, said: dict[str, str]) -> None:
    with pytest.raises(NotPermitted):
        auth.operator(77, said, proc(tmp_path, UNSET))


def test_the_real_proc_is_read() -> None:
    assert auth.operator(os.getpid(), {}).kind == "operator"
