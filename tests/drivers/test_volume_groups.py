"""Which volume group is the host's: scans, notes, and groups that have the same name."""

import json
from pathlib import Path

import pytest

from mcv.drivers.lvm import Lvm
from mcv.drivers.volume_groups import Group, VolumeGroups, parse_groups
from mcv.errors import CommandFailed, SystemFailed
from mcv.system import files
from tests.recorder import Answer, Recorder

GIB = 1024**3
UUID = "251V8Q-x1pZ-oDST-GW4F-sedz-37i4-dtTDVo"
OTHER = "LpOb6f-eOFf-cVo4-pqcX-BxCB-k5el-22v8yf"
ROOM = {"vg_size": str(4 * GIB), "vg_free": str(GIB), "vg_extent_size": "4194304"}
CONFIG = "lvmconfig --typeconfig full devices/filter"
DRBD_FIRST = (
    'filter=["r|^/dev/drbd|", "r|^/dev/[^/]+/mcv-|", "r|^/dev/mapper/.+-mcv--|"{}] hints="none"'
)


def report(*rows: tuple[str, str, str]) -> str:
    """What pvs prints of devices, each with the name and the UUID of its group."""
    columns = ("pv_name", "vg_name", "vg_uuid")
    return json.dumps(
        {"report": [{"pv": [dict(zip(columns, row, strict=True)) | ROOM for row in rows]}]}
    )


def groups(notes: Path, pvs: Answer, **answers: Answer) -> tuple[VolumeGroups, Recorder]:
    run = Recorder({CONFIG: 'filter=["a|.*|"]\n', "pvs": pvs, **answers})
    return VolumeGroups(notes, run), run


def note(notes: Path) -> Path:
    return notes / "vg0.volume-group.json"


def test_a_scan_rejects_the_devices_of_guests_and_takes_no_hint(tmp_path: Path) -> None:
    known, run = groups(tmp_path, report(("/dev/sdb", "vg0", UUID), ("/dev/sdc", "vg0", UUID)))

    found = known.all()

    assert found == {
        "vg0": Group("vg0", UUID, 4 * GIB, GIB, 4 << 20, ("/dev/sdb", "/dev/sdc")),
    }
    assert found["vg0"].only == ["--devices", "/dev/sdb", "--devices", "/dev/sdc"]
    assert run.commands == [
        CONFIG,
        "pvs --reportformat json --units b --nosuffix "
        "--options pv_name,vg_name,vg_uuid,vg_size,vg_free,vg_extent_size "
        f"--config 'devices {{ {DRBD_FIRST.format('')} }}'",
    ]
    assert not note(tmp_path).exists()


@pytest.mark.parametrize(
    ("told", "theirs"),
    [
        ('filter=["a|^/dev/mapper/mpath|","r|.*|"]', ', "a|^/dev/mapper/mpath|", "r|.*|"'),
        ('filter="r|^/dev/sd|"', ', "r|^/dev/sd|"'),  # as lvmconfig tells a list of one
    ],
)
def test_the_hosts_own_filter_stays_behind_ours(tmp_path: Path, told: str, theirs: str) -> None:
    known, run = groups(tmp_path, report())
    run.answers[CONFIG] = f"{told}\n"

    known.all()

    assert DRBD_FIRST.format(theirs) in run.commands[1]


def test_a_guests_device_counts_by_none_of_its_names(tmp_path: Path) -> None:
    alias = tmp_path / "lvm-pv-uuid-x"
    alias.symlink_to("/dev/drbd100")

    found = parse_groups(
        report(
            (str(alias), "guestvg", OTHER),
            ("/dev/drbd101", "vg1", OTHER),
            ("/dev/vg0/mcv-web1-1", "vg2", OTHER),
            ("/dev/mapper/vg0-mcv--web1--1", "vg3", OTHER),
            ("/dev/sdz", "", ""),
            ("/dev/sdb", "vg0", UUID),
            ("[unknown]", "vg0", UUID),
        )
    )

    assert [(group.name, group.devices) for group in found] == [("vg0", ("/dev/sdb",))]


def test_a_group_is_noted_when_it_is_used(tmp_path: Path) -> None:
    known, _ = groups(tmp_path / "notes", report(("/dev/sdb", "vg0", UUID)))

    found = known.find("vg0")

    assert found is not None and found.uuid == UUID
    assert note(tmp_path / "notes").read_text() == f'{{"uuid":"{UUID}"}}'
    assert known.find("vg1") is None


def test_of_two_groups_of_a_name_the_noted_one_is_used(tmp_path: Path) -> None:
    pvs: Answer = [
        report(("/dev/sdb", "vg0", UUID)),
        report(("/dev/sdz", "vg0", OTHER), ("/dev/sdb", "vg0", UUID)),
    ]
    known, _ = groups(tmp_path, pvs)
    known.find("vg0")

    found = known.find("vg0")

    assert found is not None and (found.uuid, found.devices) == (UUID, ("/dev/sdb",))


def test_of_two_unknown_groups_of_a_name_neither_is_used(tmp_path: Path) -> None:
    known, _ = groups(tmp_path, report(("/dev/sdz", "vg0", OTHER), ("/dev/sdb", "vg0", UUID)))

    with pytest.raises(CommandFailed, match=f"2 volume groups vg0.*{OTHER}, {UUID}") as failed:
        known.find("vg0")

    assert "vgrename" in failed.value.hint
    assert not note(tmp_path).exists()


def test_a_group_that_was_made_anew_is_left_alone(tmp_path: Path) -> None:
    known, run = groups(tmp_path, report(("/dev/sdb", "vg0", UUID)))
    known.find("vg0")
    run.answers["pvs"] = report(("/dev/sdb", "vg0", OTHER))

    with pytest.raises(CommandFailed, match=f"another one .UUID {OTHER}.*{UUID}") as failed:
        known.find("vg0")
    note(tmp_path).unlink()

    assert failed.value.hint.endswith(f"rm {note(tmp_path)}")
    found = known.find("vg0")
    assert found is not None and found.uuid == OTHER


@pytest.mark.parametrize("content", [b"", b'{"uuid":"25', b"\xff\xfe", b"[]", b'{"uuid":7}'])
def test_a_torn_note_is_named_and_nothing_is_touched(tmp_path: Path, content: bytes) -> None:
    known, _ = groups(tmp_path, report(("/dev/sdb", "vg0", UUID)))
    note(tmp_path).write_bytes(content)

    with pytest.raises(CommandFailed, match=r"vg0\.volume-group\.json.*cannot be read") as failed:
        known.find("vg0")

    assert failed.value.hint.endswith(f"mv {note(tmp_path)} {note(tmp_path)}.unreadable")
    assert note(tmp_path).read_bytes() == content
    assert "cannot be read" in known.all()["vg0"].problem


def test_a_note_that_is_a_directory_is_named(tmp_path: Path) -> None:
    known, _ = groups(tmp_path, report(("/dev/sdb", "vg0", UUID)))
    note(tmp_path).mkdir()

    with pytest.raises(CommandFailed, match="cannot be read"):
        known.find("vg0")


def test_without_room_for_the_note_the_group_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise SystemFailed("No space left on device.")

    monkeypatch.setattr(files, "write_atomically", full)
    known, _ = groups(tmp_path, report(("/dev/sdb", "vg0", UUID)))

    found = known.find("vg0")

    assert found is not None and not note(tmp_path).exists()


def test_commands_see_the_devices_of_the_noted_group_alone(tmp_path: Path) -> None:
    volumes = json.dumps(
        {
            "report": [
                {
                    "lv": [
                        {
                            "vg_name": "vg0",
                            "lv_name": "web1",
                            "lv_size": "4194304",
                            "pool_lv": "",
                            "lv_tags": "mcv",
                        }
                    ]
                }
            ]
        }
    )
    run = Recorder(
        {
            CONFIG: 'filter=["a|.*|"]\n',
            "pvs": report(("/dev/sdb", "vg0", UUID), ("/dev/sdc", "other", OTHER)),
            "lvs": volumes,
        }
    )
    driver = Lvm(tmp_path, run)

    driver.create("vg0", "db1", 4 << 20)
    driver.untag("vg0", "web1")
    driver.activate("vg0", "web1")
    driver.remove("vg0", "web1")

    changing = [line for line in run.commands if not line.startswith(("pvs", "lvmconfig"))]
    assert len(changing) == 7
    assert all("--devices /dev/sdb" in line and "/dev/sdc" not in line for line in changing)
