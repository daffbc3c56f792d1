"""Files of disks, made larger by the real qemu-img."""

import subprocess
from pathlib import Path

import pytest

from mcv.drivers.directories import Directories
from mcv.errors import CommandFailed

MIB = 1024**2


def test_a_qcow2_file_grows_and_does_not_shrink(tmp_path: Path) -> None:
    doors, where = Directories(), str(tmp_path)
    doors.create(where, "disk.qcow2", 4 * MIB, "qcow2")

    for size in (8 * MIB, 8 * MIB):
        doors.grow(where, "disk.qcow2", size)
        assert doors.guest_size(where, "disk.qcow2") == 8 * MIB
    with pytest.raises(CommandFailed, match="does not shrink"):
        doors.grow(where, "disk.qcow2", 4 * MIB)

    assert doors.guest_size(where, "disk.qcow2") == 8 * MIB


def test_what_is_no_whole_qcow2_file_has_no_size(tmp_path: Path) -> None:
    doors, where = Directories(), str(tmp_path)
    (tmp_path / "raw").write_bytes(bytes(MIB))
    doors.create(where, "base.qcow2", 4 * MIB, "qcow2")
    base = ("-b", str(tmp_path / "base.qcow2"), "-F", "qcow2")
    over = str(tmp_path / "over.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *base, over], check=True)
    (tmp_path / "link").symlink_to(tmp_path / "base.qcow2")

    for name in ("raw", "over.qcow2", "link", "nothing"):
        with pytest.raises(CommandFailed):
            doors.guest_size(where, name)
