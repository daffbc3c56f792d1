"""Files named on the command line: read with the rights of who typed them."""

import os
from pathlib import Path

import pytest

from mcv.commands import user_files
from mcv.errors import Refused

NOBODY = {"SUDO_UID": "65534"}
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("first\nsecond\n", encoding="utf-8")
    path.chmod(0o600)
    return path


@needs_root
def test_root_behind_sudo_reads_no_more_than_who_typed_it(secret: Path) -> None:
    with pytest.raises(Refused, match=r"cannot be read: Permission denied\."):
        user_files.first_line(str(secret), NOBODY)

    assert user_files.first_line(str(secret), {}) == "first"


@needs_root
def test_the_rights_come_back_also_after_a_failure(secret: Path) -> None:
    before = (os.geteuid(), os.getegid(), os.getgroups())

    with pytest.raises(RuntimeError), user_files.acting_as_typist(NOBODY):
        assert os.geteuid() == 65534
        assert os.getegid() != 0
        raise RuntimeError

    assert (os.geteuid(), os.getegid(), os.getgroups()) == before


@needs_root
def test_a_user_without_a_name_has_no_groups() -> None:
    with user_files.acting_as_typist({"SUDO_UID": "54321", "SUDO_GID": "54322"}):
        seen = (os.geteuid(), os.getegid(), os.getgroups())

    assert seen == (54321, 54322, [])


def test_a_user_that_is_no_number_is_refused(secret: Path) -> None:
    with pytest.raises(Refused, match="SUDO_UID"):
        user_files.first_line(str(secret), {"SUDO_UID": "-1"})


@pytest.mark.parametrize("path", ["/nonexistent/file", "bad\0name", ""])
def test_what_cannot_be_opened_is_refused(path: str) -> None:
    with pytest.raises(Refused, match="cannot be read"), user_files.opened(path, {}):
        pass


def test_a_pipe_without_a_writer_does_not_hold_the_command_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(Refused, match="no password"):
        user_files.first_line(str(tmp_path / "pipe"), {})


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_a_file_without_a_password_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pw").write_bytes(content)

    with pytest.raises(Refused):
        user_files.first_line(str(tmp_path / "pw"), {})


def test_the_first_line_is_the_password_whatever_ends_it(tmp_path: Path) -> None:
    (tmp_path / "pw").write_bytes(b"se cret\r\nmore\n")

    assert user_files.first_line(str(tmp_path / "pw"), {}) == "se cret"


def test_a_byte_order_mark_is_no_part_of_a_password(tmp_path: Path) -> None:
    (tmp_path / "pw").write_bytes(b"\xef\xbb\xbfse cret\r\n")

    assert user_files.first_line(str(tmp_path / "pw"), {}) == "se cret"


@pytest.fixture
def shells(tmp_path: Path) -> Path:
    path = tmp_path / "shells"
    path.write_text("# /etc/shells\n/bin/sh\n/bin/bash\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("command", "is_shell"),
    [
        ("/bin/bash", True),
        ("/bin/sh -c mcv create web1", True),
        ("/usr/bin/su -", True),
        ("/usr/local/bin/mcv create web1 --image /bin/bash", False),
        ("/usr/local/bin/wrapper /bin/bash", False),
        ("# /etc/shells", False),
        ("bash", False),
        ("", False),
    ],
)
def test_a_root_shell_is_told_by_what_sudo_started(
    shells: Path, command: str, is_shell: bool
) -> None:
    assert user_files.is_root_shell({"SUDO_COMMAND": command}, shells) is is_shell
    assert not user_files.is_root_shell({"SUDO_COMMAND": "/bin/bash"}, shells / "none")


@needs_root
def test_a_root_shell_reads_its_own_files_although_sudo_uid_stays_set(secret: Path) -> None:
    in_a_shell = {**NOBODY, "SUDO_USER": "nobody", "SUDO_COMMAND": "/bin/sh"}

    assert user_files.first_line(str(secret), in_a_shell) == "first"


@needs_root
def test_whose_rights_a_file_was_opened_with_is_told(secret: Path) -> None:
    alone = {**NOBODY, "SUDO_USER": "nobody", "SUDO_COMMAND": "/usr/local/bin/mcv create"}

    with pytest.raises(Refused) as refused:
        user_files.first_line(str(secret), alone)

    assert refused.value.hint == "It is opened with the rights of nobody, who typed it."


def test_a_file_is_closed_again(secret: Path) -> None:
    with user_files.opened(str(secret), {}) as fd:
        assert os.read(fd, 5) == b"first"

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.read(fd, 1)


@needs_root
def test_a_name_without_a_uid_gives_its_rights_and_no_others(secret: Path) -> None:
    with pytest.raises(Refused, match=r"cannot be read: Permission denied\."):
        user_files.first_line(str(secret), {"SUDO_USER": "nobody"})
    for strange in ({"SUDO_USER": ""}, {"SUDO_USER": "no body"}, {"SUDO_UID": ""}):
        with pytest.raises(Refused, match="is no user"):
            user_files.first_line(str(secret), strange)
