"""Whether a node can write: seen on the file system, before anything is tried."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from mcv.errors import SystemFailed, in_words, of_system
from mcv.system import room

PLENTY = {"f_flag": 0, "f_files": 9, "f_ffree": 9, "f_bfree": 4096, "f_frsize": 4096}


def test_there_is_room_here(tmp_path: Path) -> None:
    assert room.problem(tmp_path) == ""


@pytest.mark.parametrize(
    ("different", "expected"),
    [
        ({}, ""),
        ({"f_bfree": 1023}, "/var/lib/mcv is full"),
        ({"f_bfree": 0}, "/var/lib/mcv is full"),
        ({"f_ffree": 0}, "/var/lib/mcv is full"),
        ({"f_files": 0, "f_ffree": 0}, ""),
        ({"f_flag": os.ST_RDONLY}, "/var/lib/mcv is read-only"),
    ],
)
def test_what_a_file_system_says(
    monkeypatch: pytest.MonkeyPatch, different: dict[str, int], expected: str
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(**{**PLENTY, **different}))

    assert room.problem(Path("/var/lib/mcv/node1")) == expected


def test_a_directory_that_is_not_there_is_no_room() -> None:
    assert "/nowhere cannot be used: No such file" in room.problem(Path("/nowhere/node1"))


def test_an_error_of_the_system_is_told_in_words() -> None:
    full = of_system(OSError(errno.ENOSPC, "No space left on device"), "/var/lib/mcv/x")
    assert full.message == "/var/lib/mcv/x: No space left on device." and "df -h" in full.hint
    with pytest.raises(SystemFailed, match="/nowhere: No such file or directory"), in_words():
        os.listdir("/nowhere")
