"""Who has a device open, told by /proc and /sys: also a QEMU of which only threads are left."""

from pathlib import Path

import pytest

from mcv.drivers.open_devices import Holder, holders

DEVICE = "dev/drbd100"  # in these tests it is /dev/null: 1:3


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "dev").mkdir()
    (tmp_path / DEVICE).symlink_to("/dev/null")
    return tmp_path


def process(root: Path, pid: int, name: str, *, fd: str = "", thread: str = "") -> None:
    """A process with one open file, or one that ends and whose thread has it open still."""
    own = root / f"proc/{pid}"
    (own / "fd").mkdir(parents=True)
    (own / "comm").write_text(f"{name}\n")
    if fd:
        (own / "fd/3").symlink_to(fd)
    if thread:
        (own / f"task/{pid + 1}/fd").mkdir(parents=True)
        (own / f"task/{pid + 1}/fd/3").symlink_to(thread)


def test_processes_mounts_and_devices_above_are_told(root: Path) -> None:
    process(root, 10, "sleep", fd="/dev/null")
    process(root, 11, "cat", fd="/dev/zero")
    process(root, 12, "qemu-system-x86", thread="/dev/null")
    process(root, 1, "systemd", fd="/nowhere")
    (root / "proc/1/mountinfo").write_text(
        "22 1 1:3 / /mnt/disk rw - ext4 /dev/drbd100 rw\n23 1 1:4 / /other rw - ext4 x rw\n"
    )
    (root / "sys/dev/block/1:3/holders/dm-7").mkdir(parents=True)

    told = holders(root, DEVICE)

    assert {str(holder) for holder in told} == {
        "sleep (10)",
        "qemu-system-x86 (12)",
        "mounted on /mnt/disk",
        "dm-7",
    }
    assert [holder.pid for holder in told if holder.is_emulator] == [12]


def test_what_is_closed_or_not_there_is_held_by_nothing(root: Path) -> None:
    process(root, 11, "cat", fd="/dev/zero")

    assert holders(root, DEVICE) == []
    assert holders(root, "dev/drbd101") == []


def test_a_process_is_told_by_name_and_number() -> None:
    assert str(Holder(name="sleep", pid=4941)) == "sleep (4941)"
    assert Holder(name="kvm", pid=2).is_emulator and not Holder(name="qemu").is_emulator
