"""What operations may rely on in the directories of a host."""

from typing import Protocol

import pytest

from mcv.drivers.directories import Directories
from mcv.errors import CommandFailed, McvError

NAME = "mcv-contract-9.qcow2"
SIZE = 8 * 1024**2


class Stand(Protocol):
    """A directory of a host, empty; `nowhere` is none yet."""

    directories: Directories
    location: str
    nowhere: str


def a_file_is_there_once_made_and_gone_once_removed(stand: Stand) -> None:
    there = stand.directories

    for _ in range(2):
        there.create(stand.location, NAME, SIZE, "qcow2")
        assert there.exists(stand.location, NAME)
        assert list(there.volumes(stand.location)) == [NAME]
    for _ in range(2):
        there.remove(stand.location, NAME)
        assert not there.exists(stand.location, NAME)
        assert there.volumes(stand.location) == {}


def the_shape_of_a_file_is_its_format_and_what_its_guest_sees(stand: Stand) -> None:
    for format in ("qcow2", "raw"):
        name = f"mcv-contract-9.{format}"
        stand.directories.create(stand.location, name, SIZE, format)
        shape = stand.directories.shape(stand.location, name)
        assert (shape.format, shape.size) == (format, SIZE)
    with pytest.raises(CommandFailed, match="cannot be read: No such file"):
        stand.directories.shape(stand.location, "mcv-nobody-1.qcow2")


def a_new_file_takes_less_than_its_size(stand: Stand) -> None:
    stand.directories.create(stand.location, NAME, SIZE, "qcow2")

    assert stand.directories.view(stand.location).volumes[NAME] < SIZE


def a_view_tells_the_room_of_the_file_system(stand: Stand) -> None:
    view = stand.directories.view(stand.location)

    size, free = stand.directories.room(stand.location)
    # Others write to the file system, too.
    assert view.size == size and abs(view.free - free) < 64 * 1024**2
    assert 0 < view.free <= view.size and view.device


def what_is_no_directory_is_told_in_words(stand: Stand) -> None:
    there = stand.directories

    for look in (there.view, there.volumes, there.real):
        with pytest.raises(CommandFailed, match=f"There is no directory {stand.nowhere}"):
            look(stand.nowhere)
    with pytest.raises(CommandFailed, match="There is no directory"):
        there.create(stand.nowhere, NAME, SIZE, "qcow2")
    with pytest.raises(CommandFailed, match="There is no directory"):
        there.write_mark(stand.nowhere, "5c8a")
    assert there.mark(stand.nowhere) == ""
    there.remove(stand.nowhere, NAME)


def no_name_leads_out_of_the_directory(stand: Stand) -> None:
    for name in ("../etc/passwd", "/etc/passwd", ".mcv-pool", ""):
        with pytest.raises(McvError, match="is no name for a file"):
            stand.directories.exists(stand.location, name)
        with pytest.raises(McvError, match="is no name for a file"):
            stand.directories.remove(stand.location, name)


def a_mark_is_read_as_written_and_is_no_volume(stand: Stand) -> None:
    there = stand.directories
    assert there.mark(stand.location) == ""

    for _ in range(2):
        there.write_mark(stand.location, "5c8a")
        assert there.mark(stand.location) == "5c8a"
    assert there.volumes(stand.location) == {}
    for _ in range(2):
        there.remove_mark(stand.location)
        assert there.mark(stand.location) == ""


def a_lock_that_is_held_keeps_others_out(stand: Stand) -> None:
    there = stand.directories
    there.create(stand.location, NAME, SIZE, "qcow2")

    assert there.is_free(stand.location, NAME)
    with there.lock_probe(stand.location) as hold:
        assert there.is_free(stand.location)
        with hold():
            assert not there.is_free(stand.location)
        assert there.is_free(stand.location)
        assert list(there.volumes(stand.location)) == [NAME]
    with pytest.raises(CommandFailed, match="No such file"):
        there.is_free(stand.location)
    with pytest.raises(CommandFailed, match="No such file"):
        there.is_free(stand.location, "mcv-nobody-1.qcow2")


def a_directory_is_made_once(stand: Stand) -> None:
    for _ in range(2):
        stand.directories.make(stand.nowhere)
        assert stand.directories.volumes(stand.nowhere) == {}


def a_directory_that_takes_disks_has_nothing_against_it(stand: Stand) -> None:
    assert stand.directories.why_no_disks(stand.location) == ""
    assert stand.directories.volumes(stand.location) == {}
    assert stand.directories.real(stand.location) == stand.location
