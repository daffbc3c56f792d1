"""Who sees the arguments of root's commands."""

import pwd
from pathlib import Path

import pytest

from mcv.system import users


def user(name: str, uid: int, shell: str) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", uid, uid, "", "/", shell))


USERS = [
    user("root", 0, "/bin/bash"),
    user("bob", 1001, "/usr/bin/zsh"),
    user("alice", 1000, "/bin/bash"),
    user("www-data", 33, "/bin/bash"),
    user("backup", 1002, "/usr/sbin/nologin"),
    user("nobody", 65534, "/bin/sh"),
]


@pytest.mark.parametrize(
    ("options", "seen_by"),
    [
        ("rw,nosuid,nodev,noexec,relatime", ["alice", "bob"]),
        ("rw,hidepid=0", ["alice", "bob"]),
        ("rw,hidepid=off", ["alice", "bob"]),
        ("rw,relatime,hidepid=2", []),
        ("rw,hidepid=invisible,gid=4", []),
    ],
)
def test_people_who_may_log_in_see_arguments_unless_proc_hides_them(
    tmp_path: Path, options: str, seen_by: list[str]
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nproc /proc proc {options} 0 0\n")

    assert users.who_see_arguments(mounts, USERS) == seen_by


def test_without_a_word_of_the_mounts_they_are_taken_to_see_them(tmp_path: Path) -> None:
    assert users.who_see_arguments(tmp_path / "none", USERS) == ["alice", "bob"]
