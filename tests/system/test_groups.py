"""Users and groups as this host's system tells them."""

import grp
import os
import pwd

import pytest

from mcv.system import users

ME = pwd.getpwuid(os.getuid())
MY_GROUP = grp.getgrgid(ME.pw_gid).gr_name


def test_whom_this_host_knows() -> None:
    assert users.exists(ME.pw_name) and users.exists(f"%{MY_GROUP}")
    for stranger in ("no-such-user", "%no-such-group", "", "%", "a\0b", "%a\0b"):
        assert not users.exists(stranger)


def test_a_primary_group_counts_and_only_named_groups_are_told() -> None:
    assert users.groups_of(ME.pw_name, [MY_GROUP, "no-such-group"]) == (MY_GROUP,)
    assert users.groups_of(ME.pw_name, []) == ()


def test_a_membership_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getgrouplist", lambda user, gid: [gid, 4711])
    ids = {"ops": 4711, "staff": 4712}
    monkeypatch.setattr(users, "_id_of", ids.get)

    assert users.groups_of(ME.pw_name, ["staff", "ops"]) == ("ops",)


def test_a_user_whom_this_host_does_not_know_is_in_no_group() -> None:
    for stranger in ("no-such-user", "uid 4711", "", "a\0b"):
        assert users.groups_of(stranger, ["root", "no-such-group"]) == ()
