"""The seed of a guest, read as ISO 9660 and Joliet say, byte by byte."""

import json
import struct

from mcv.drivers.nocloud import seed

SECTOR = 2048
KEY = "ssh-ed25519 AAAAC3Nz me@here"


def descriptors(data: bytes) -> dict[int, bytes]:
    """The volume descriptors by their type; the set ends with 255."""
    found: dict[int, bytes] = {}
    for number in range(16, 32):
        sector = data[number * SECTOR : (number + 1) * SECTOR]
        assert sector[1:6] == b"CD001"
        if sector[0] == 255:
            return found
        found[sector[0]] = sector
    raise AssertionError("The set of descriptors does not end.")


def joliet(data: bytes) -> dict[str, bytes]:
    """The files of the root directory, by their names in Joliet."""
    descriptor = descriptors(data)[2]
    assert descriptor[88:91] in (b"%/@", b"%/C", b"%/E")
    extent, size = struct.unpack_from("<I", descriptor, 158)[0], 0
    size = struct.unpack_from("<I", descriptor, 166)[0]
    directory = data[extent * SECTOR : extent * SECTOR + size]
    found, offset = {}, 0
    while offset < len(directory) and directory[offset]:
        record = directory[offset : offset + directory[offset]]
        start, length = struct.unpack_from("<I", record, 2)[0], struct.unpack_from("<I", record, 10)
        name = record[33 : 33 + record[32]]
        if len(name) > 1:
            begins = start * SECTOR
            found[name.decode("utf-16-be").partition(";")[0]] = data[begins : begins + length[0]]
        offset += len(record)
    return found


def rock_ridge_names(data: bytes) -> set[str]:
    """The alternate names (NM) in the root directory of the primary descriptor."""
    descriptor = descriptors(data)[1]
    extent = struct.unpack_from("<I", descriptor, 158)[0]
    size = struct.unpack_from("<I", descriptor, 166)[0]
    directory = data[extent * SECTOR : extent * SECTOR + size]
    names, at = set(), directory.find(b"NM")
    while at >= 0:
        names.add(directory[at + 5 : at + directory[at + 2]].decode())
        at = directory.find(b"NM", at + 2)
    return names


def test_the_volume_is_called_as_cloud_init_looks_for_it() -> None:
    data = seed("u-u-i-d", "web1")

    found = descriptors(data)
    assert found[1][40:72].decode().rstrip() == "CIDATA"
    assert found[2][40:72].decode("utf-16-be").rstrip() == "CIDATA"
    assert len(data) % 4096 == 0
    sectors = struct.unpack_from("<I", found[1], 80)[0]
    assert sectors * SECTOR <= len(data)


def test_the_guest_is_told_who_it_is_and_who_may_log_in() -> None:
    data = seed("u-u-i-d", "web1", [KEY])

    files = joliet(data)
    assert files["meta-data"].decode() == (
        f'instance-id: "u-u-i-d"\nlocal-hostname: "web1"\npublic-keys:\n  - "{KEY}"\n'
    )
    assert files["user-data"] == b"#cloud-config\n{}\n"
    assert set(files) == {"meta-data", "user-data"} <= rock_ridge_names(data)


def test_user_data_arrives_byte_for_byte() -> None:
    user_data = b"\x1f\x8b" + bytes(range(256)) * 300

    assert joliet(seed("i", "web1", [], user_data))["user-data"] == user_data


def test_every_card_has_dhcp_and_the_boot_waits_for_the_first_alone() -> None:
    network = joliet(seed("i", "web1", macs=["52:54:00:00:00:01", "52:54:00:00:00:02"]))

    assert network["network-config"].decode() == (
        "version: 2\n"
        "ethernets:\n"
        "  card0:\n"
        "    match:\n"
        '      macaddress: "52:54:00:00:00:01"\n'
        "    dhcp4: true\n"
        "  card1:\n"
        "    match:\n"
        '      macaddress: "52:54:00:00:00:02"\n'
        "    dhcp4: true\n"
        "    optional: true\n"
    )


def test_no_text_of_a_key_gets_out_of_its_line() -> None:
    hostile = 'ssh-ed25519 AAAA "\nusers: []\\'

    lines = joliet(seed("i", "web1", [hostile]))["meta-data"].decode().splitlines()

    assert len(lines) == 4
    assert json.loads(lines[3].removeprefix("  - ")) == hostile
