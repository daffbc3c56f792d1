"""LVM's commands, its reports, and how large a volume must be."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mcv.drivers.lvm import Lvm, Volume, drbd_size, metadata_size, rounded
from mcv.drivers.volume_groups import Group
from mcv.errors import CommandFailed
from tests.recorder import Recorder

MIB = 1024**2
GIB = 1024**3
EXTENT = 4 * MIB

Driver = Callable[..., tuple[Lvm, "Lines"]]

GROUPS = """\
  {
      "report": [
          {
              "pv": [
                  {"pv_name":"/dev/sdc", "vg_name":"data", "vg_uuid":"dA", \
"vg_size":"1073741824", "vg_free":"0", "vg_extent_size":"33554432"},
                  {"pv_name":"/dev/sdb", "vg_name":"vg0", "vg_uuid":"v0", \
"vg_size":"4290772992", "vg_free":"4185915392", "vg_extent_size":"4194304"}
              ]
          }
      ]
  }
"""
VOLUMES = """\
  {
      "report": [
          {
              "lv": [
                  {"vg_name":"data", "lv_name":"pool", "lv_size":"536870912", "pool_lv":"", \
"lv_tags":"", "lv_attr":"twi-aotz--"},
                  {"vg_name":"data", "lv_name":"thin1", "lv_size":"104857600", "pool_lv":"pool", \
"lv_tags":"mcv"},
                  {"vg_name":"vg0", "lv_name":"web1", "lv_size":"104857600", "pool_lv":"", \
"lv_tags":"backup,mcv"},
                  {"vg_name":"vg0", "lv_name":"home", "lv_size":"104857600", "pool_lv":"", \
"lv_tags":""}
              ]
          }
      ]
  }
"""
COLUMNS = (
    "--reportformat json --units b --nosuffix --options "
    "vg_name,lv_name,lv_size,pool_lv,lv_tags,data_percent,metadata_percent,lv_attr"
)
LOOK = f"lvs --devices /dev/sdb {COLUMNS}"


class Lines(Recorder):
    """A recorder whose scans for volume groups are told apart from the commands."""

    @property
    def commands_after_scans(self) -> list[str]:
        return [line for line in self.commands if not line.startswith(("lvmconfig", "pvs"))]


@pytest.fixture
def lvm(tmp_path: Path) -> Callable[..., tuple[Lvm, Lines]]:
    def make(**answers: CommandFailed) -> tuple[Lvm, Lines]:
        run = Lines({"pvs": GROUPS, "lvs": VOLUMES, **answers})
        return Lvm(tmp_path, run), run

    return make


def test_groups_are_read_in_bytes(lvm: Driver) -> None:
    driver, _ = lvm()

    groups = driver.groups()

    assert groups["vg0"] == Group(
        name="vg0",
        uuid="v0",
        size=4290772992,
        free=4185915392,
        extent_size=4194304,
        devices=("/dev/sdb",),
    )
    assert list(groups) == ["data", "vg0"]


def test_volumes_say_whether_they_are_thin_and_ours(lvm: Driver) -> None:
    driver, run = lvm()

    volumes = driver.volumes("data")

    assert volumes == [
        Volume(group="data", name="pool", size=512 * MIB, thin=False, ours=False, is_pool=True),
        Volume(group="data", name="thin1", size=100 * MIB, thin=True, ours=True, pool="pool"),
    ]
    assert len(driver.volumes()) == 4
    both = "--devices /dev/sdc --devices /dev/sdb"
    assert run.commands_after_scans == [
        f"lvs {both} {COLUMNS}",
        f"lvs {both} {COLUMNS}",
    ]


def test_a_host_without_volumes_has_none(tmp_path: Path) -> None:
    empty = Recorder({"pvs": '{"report":[{"pv":[]}]}', "lvs": '{"report":[{"lv":[]}]}'})

    assert Lvm(tmp_path, empty).groups() == {}
    assert Lvm(tmp_path, empty).volumes() == []


def test_a_volume_is_made_without_a_question_and_bears_our_mark(lvm: Driver) -> None:
    driver, run = lvm()

    driver.create("vg0", "db1", 8 * MIB)

    assert run.commands_after_scans == [
        LOOK,
        "lvcreate --devices /dev/sdb --yes --wipesignatures y --addtag mcv "
        "--name db1 --size 8388608b vg0",
    ]


def test_making_a_volume_twice_is_harmless(lvm: Driver) -> None:
    driver, run = lvm()

    driver.create("vg0", "web1", 100 * MIB)

    assert run.commands_after_scans == [LOOK]


@pytest.mark.parametrize(
    ("story", "group", "name", "size"),
    [
        ("ours, of another size", "vg0", "web1", 8 * MIB),
        ("of the same size, not ours", "vg0", "home", 100 * MIB),
        ("ours, of the same size, thin", "data", "thin1", 100 * MIB),
    ],
)
def test_a_volume_that_stands_in_the_way_is_not_taken_for_the_new_one(
    lvm: Driver, story: str, group: str, name: str, size: int
) -> None:
    driver, _ = lvm(lvcreate=CommandFailed("exited with 5: already exists"))

    with pytest.raises(CommandFailed, match="already exists"):
        driver.create(group, name, size)


def test_a_volume_is_removed_once(lvm: Driver) -> None:
    driver, run = lvm()

    driver.remove("vg0", "web1")
    driver.remove("vg0", "gone")
    driver.remove("gone", "web1")

    assert run.commands_after_scans == [
        LOOK,
        "lvremove --devices /dev/sdb --force vg0/web1",
        LOOK,
    ]


def test_a_volume_that_is_held_is_not_removed(lvm: Driver) -> None:
    driver, _ = lvm(lvremove=CommandFailed("contains a filesystem in use"))

    with pytest.raises(CommandFailed, match="in use"):
        driver.remove("vg0", "web1")


def test_a_device_is_zeroed_however_long_it_takes(lvm: Driver) -> None:
    driver, run = lvm()

    driver.zero("/dev/vg0/web1")

    assert run.commands_after_scans == ["blkdiscard --zeroout /dev/vg0/web1"]
    assert run.timeouts[0] > 24 * 3600


def test_a_device_that_cannot_be_zeroed_is_an_error(lvm: Driver) -> None:
    driver, _ = lvm(blkdiscard=CommandFailed("Input/output error"))

    with pytest.raises(CommandFailed, match="Input/output"):
        driver.zero("/dev/vg0/web1")


def test_a_volume_is_activated(lvm: Driver) -> None:
    driver, run = lvm()

    driver.activate("vg0", "web1")

    assert run.commands_after_scans == ["lvchange --devices /dev/sdb --activate y vg0/web1"]


def test_sizes_are_rounded_up_to_extents() -> None:
    assert rounded(1, EXTENT) == EXTENT
    assert rounded(EXTENT, EXTENT) == EXTENT
    assert rounded(EXTENT + 1, EXTENT) == 2 * EXTENT


def test_the_metadata_of_a_small_volume_is_what_drbd_was_seen_to_take() -> None:
    # 8.4.11 made a device of 102360 KiB of a volume of 102400 KiB.
    assert metadata_size(102400 * 1024) == 40 * 1024


@pytest.mark.parametrize("extent", [EXTENT, 32 * MIB, 1024])
@pytest.mark.parametrize(
    "size", [1, MIB, EXTENT, 100 * MIB, 128 * MIB, 128 * MIB - 1, 10 * GIB, 16 * 1024 * GIB]
)
def test_the_vm_gets_what_was_asked_for(size: int, extent: int) -> None:
    volume = drbd_size(size, extent)

    assert volume % extent == 0
    assert volume - metadata_size(volume) >= size
    assert volume - size <= metadata_size(volume) + 2 * extent + 64 * 1024


def test_a_volume_that_is_kept_loses_the_tag_once(lvm: Driver) -> None:
    driver, run = lvm()

    driver.untag("vg0", "web1")
    driver.untag("vg0", "home")
    driver.untag("vg0", "gone")

    assert run.commands_after_scans == [
        LOOK,
        "lvchange --devices /dev/sdb --deltag mcv vg0/web1",
        LOOK,
        LOOK,
    ]
