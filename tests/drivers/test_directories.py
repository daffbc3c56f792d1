"""Directories of disks on this very host, and on file systems that do not answer."""

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from mcv.drivers import image_lock
from mcv.drivers.directories import LOCK, Directories
from mcv.errors import CommandFailed
from tests.contract import Promise, directories, promises


@dataclass
class Stand:
    location: str
    nowhere: str
    directories: Directories


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    (tmp_path / "pool").mkdir()
    return Stand(str(tmp_path / "pool"), str(tmp_path / "nowhere"), Directories())


@pytest.mark.parametrize("promise", promises(directories), ids=lambda one: one.__name__)
def test_the_directories_of_a_host(promise: Promise, stand: Stand) -> None:
    promise(stand)


def test_links_are_followed(stand: Stand) -> None:
    os.symlink(stand.location, stand.nowhere)
    stand.directories.create(stand.location, "mcv-a-1", 4096, "raw")

    assert stand.directories.real(stand.nowhere) == stand.location
    assert list(stand.directories.volumes(stand.nowhere)) == ["mcv-a-1"]


def test_a_directory_on_the_way_that_nobody_but_root_passes_is_named(stand: Stand) -> None:
    inner = Path(stand.location) / "inner"
    inner.mkdir()
    os.chmod(inner, 0o711)
    os.chmod(stand.location, 0o700)

    assert stand.location in stand.directories.closed(str(inner))
    assert str(inner) not in stand.directories.closed(str(inner))


def test_a_directory_that_is_made_can_be_passed_whatever_the_umask_is(stand: Stand) -> None:
    before = os.umask(0o077)
    try:
        stand.directories.make(stand.nowhere)
    finally:
        os.umask(before)

    assert Path(stand.nowhere).stat().st_mode & 0o777 == 0o711


def test_a_probe_that_a_dead_daemon_left_is_no_obstacle_and_goes_with_the_mark(
    stand: Stand,
) -> None:
    """The daemon ended between the making of the probe and its deletion."""
    left = Path(stand.location) / LOCK
    for _ in range(2):
        left.write_text("half of a header")
        with stand.directories.lock_probe(stand.location) as hold, hold():
            assert not stand.directories.is_free(stand.location)
        assert not left.exists()
    left.write_text("half of a header")

    stand.directories.remove_mark(stand.location)

    assert not left.exists()


def test_a_lock_that_was_not_held_to_its_end_is_told(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_lock, "LONGEST", "2")

    with (
        pytest.raises(CommandFailed, match="exited with 124"),
        stand.directories.lock_probe(stand.location) as hold,
        hold(),
    ):
        time.sleep(3)

    assert not (Path(stand.location) / LOCK).exists()


def test_a_file_system_in_memory_takes_no_disks() -> None:
    def run(*command: str, stdin: str = "", timeout: float = 60) -> str:
        return "tmpfs\n"

    said = Directories(run=run).why_no_disks("/dev/shm")

    assert said == "/dev/shm is in memory (tmpfs): what is there does not survive a reboot."


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (
            "exited with 1: failed to open: Invalid argument",
            "takes no direct I/O, which QEMU needs",
        ),
        ("exited with 1: Read-only file system", "cannot be written: .*Read-only file system"),
    ],
)
def test_what_takes_no_direct_io_or_no_file_is_told(printed: str, expected: str) -> None:
    def run(*command: str, stdin: str = "", timeout: float = 60) -> str:
        if command[0] == "dd":
            raise CommandFailed(f"`dd` {printed}")
        return "ext2/ext3\n" if command[0] == "stat" else ""

    assert re.search(expected, Directories(run=run).why_no_disks("/srv"))


def test_what_does_not_answer_is_told_by_its_name() -> None:
    def run(*command: str, stdin: str = "", timeout: float = 60) -> str:
        raise CommandFailed(f"`{command[0]}` ran past {timeout:.0f} s.")

    hung = Directories(run=run)

    for look in (hung.view, hung.real, hung.closed, hung.mark, hung.room, hung.volumes):
        with pytest.raises(CommandFailed, match=r"^/srv/nfs does not answer\.$"):
            look("/srv/nfs")
    with pytest.raises(CommandFailed, match=r"^/srv/nfs does not answer\.$"):
        hung.holders("/srv/nfs/mcv-web1-1.qcow2")
