"""What the host's own LVM sees of guests, and the line that hides them."""

from pathlib import Path

import pytest

from mcv.drivers.lvm_filter import DRBD_NAMES, LINE, LvmFilter, Sight, accepts, with_line
from mcv.errors import CommandFailed, Refused
from tests.recorder import Recorder

STOCK = 'devices {\n\t# global_filter = [ "a|.*|" ]\n\tdir = "/dev"\n}\nlog {\n}\n'
OPEN = 'global_filter=["a|.*|"]\nfilter=["a|.*|"]\nuse_devicesfile=0\nscan_lvs=0\n'
# A list of one is told without brackets.
HIDDEN = OPEN.replace('global_filter=["a|.*|"]', 'global_filter="r|^/dev/drbd|"')


def of(etc: Path, *told: str) -> LvmFilter:
    return LvmFilter(etc, Recorder({"lvmconfig": list(told)}))


@pytest.mark.parametrize(
    ("story", "patterns", "accepted"),
    [
        ("nothing is filtered", ["a|.*|"], True),
        ("no filter at all", [], True),
        ("drbd is rejected", ["r|^/dev/drbd|"], False),
        ("with other marks", ["r/drbd/"], False),
        ("with brackets", ["r{^/dev/drbd}"], False),
        ("rejected, the rest accepted", ["r|^/dev/drbd|", "a|.*|"], False),
        ("accepted before it is rejected", ["a|.*|", "r|^/dev/drbd|"], True),
        ("one name of it is accepted", ["a|by-res|", "r|^/dev/drbd|"], True),
        ("only the disks of the host", ["a|^/dev/sd|", "r|.*|"], False),
        ("others are rejected", ["r|^/dev/cdrom|"], True),
        ("a pattern that nobody reads", ["r|(|"], True),
    ],
)
def test_a_filter_decides_as_lvm_does(story: str, patterns: list[str], accepted: bool) -> None:
    assert accepts(patterns, DRBD_NAMES) is accepted


@pytest.mark.parametrize(
    ("story", "told", "disks", "volumes"),
    [
        ("stock", OPEN, True, False),
        ("our line", HIDDEN, False, False),
        ("filter alone", OPEN.replace('\nfilter=["a|.*|"]', '\nfilter=["r|drbd|"]'), False, False),
        ("a devices file that is not there", OPEN.replace("file=0", "file=1"), True, False),
        ("into volumes", HIDDEN.replace("lvs=0", "lvs=1"), False, True),
    ],
)
def test_what_lvm_sees_is_read_from_its_configuration(
    tmp_path: Path, story: str, told: str, disks: bool, volumes: bool
) -> None:
    (tmp_path / "lvm.conf").write_text(STOCK)

    seen = of(tmp_path, told).sight()

    assert seen == Sight(file=str(tmp_path / "lvm.conf"), disks=disks, volumes=volumes)


@pytest.mark.parametrize(("listed", "disks"), [("/dev/sdb", False), ("/dev/drbd100", True)])
def test_a_devices_file_says_alone_what_lvm_uses(tmp_path: Path, listed: str, disks: bool) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "system.devices").write_text(f"IDTYPE=devname IDNAME={listed}\n")

    assert of(tmp_path, OPEN.replace("file=0", "file=1")).sight().disks is disks


@pytest.mark.parametrize("name", ["lvm.conf", "lvmlocal.conf"])
def test_the_line_of_a_filter_that_is_there_is_named_and_left(tmp_path: Path, name: str) -> None:
    text = 'devices {\n\tglobal_filter = [ "a|.*|" ]\n}\n'
    (tmp_path / name).write_text(text)
    driver = of(tmp_path, OPEN)

    with pytest.raises(Refused, match=f"{name}:2 has a global_filter"):
        driver.add()

    assert driver.sight().line == f"{tmp_path / name}:2"
    assert (tmp_path / name).read_text() == text


def test_the_line_is_written_into_the_section_devices(tmp_path: Path) -> None:
    (tmp_path / "lvm.conf").write_text(STOCK)
    (tmp_path / "lvm.conf").chmod(0o644)

    of(tmp_path, HIDDEN).add()

    lines = (tmp_path / "lvm.conf").read_text().splitlines()
    assert lines[0] == "devices {" and lines[2] == f"\t{LINE}"
    assert lines[:1] + lines[3:] == STOCK.splitlines()
    assert (tmp_path / "lvm.conf").stat().st_mode & 0o777 == 0o644


def test_a_file_without_the_section_gets_one() -> None:
    assert with_line("log {\n}\n").endswith(f"devices {{\n\t# mcv: {MARK}\n\t{LINE}\n}}\n")


MARK = "what is on DRBD's devices is a guest's."


def test_a_line_that_does_not_help_is_taken_back(tmp_path: Path) -> None:
    (tmp_path / "lvm.conf").write_text(STOCK)

    with pytest.raises(Refused, match="all the same"):
        of(tmp_path, OPEN).add()

    assert (tmp_path / "lvm.conf").read_text() == STOCK


def test_a_file_that_lvm_does_not_read_any_more_is_put_back(tmp_path: Path) -> None:
    (tmp_path / "lvm.conf").write_text(STOCK)
    fails = Recorder({"lvmconfig": CommandFailed("Parse error at byte 7")})

    with pytest.raises(CommandFailed, match="Parse error"):
        LvmFilter(tmp_path, fails).add()

    assert (tmp_path / "lvm.conf").read_text() == STOCK
