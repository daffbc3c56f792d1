"""What libvirt is told of a mirror, and how the live definition tells of it."""

import pytest

from mcv.drivers.domain_source import Source
from mcv.drivers.libvirt_mirrors import mirror_in, mirror_xml, source_of

# As libvirt 9.0 gives it back while a file is mirrored to a device.
LIVE = """<domain><devices>
  <disk type="file" device="disk">
    <driver name="qemu" type="qcow2"/>
    <source file="/var/lib/mcv/pool/mcv-web1-1" index="1"/>
    <backingStore/>
    <mirror type="block" job="copy"{ready}>
      <format type="raw"/>
      <source dev="/dev/vg0/mcv-web1-2" index="3"/>
    </mirror>
    <target dev="vda" bus="virtio"/>
  </disk>
  <disk type="block" device="disk">
    <source dev="/dev/drbd1"/><target dev="vdb" bus="virtio"/>
  </disk>
  <disk type="file" device="cdrom"><target dev="sde" bus="sata"/></disk>
</devices></domain>"""


@pytest.mark.parametrize(
    ("ready", "expected"),
    [
        ("", False),
        (' ready="yes"', True),
        (' ready="pivot"', False),  # QEMU goes over, and has not yet
        (' ready="abort"', False),
    ],
)
def test_a_mirror_is_ready_when_libvirt_says_so(ready: str, expected: bool) -> None:
    live = LIVE.format(ready=ready)

    assert mirror_in(live, "vda") == ("/dev/vg0/mcv-web1-2", expected)
    assert mirror_in(live, "vdb") is None
    assert mirror_in(live, "vdz") is None


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("vda", "/var/lib/mcv/pool/mcv-web1-1"),  # not where it is mirrored to
        ("vdb", "/dev/drbd1"),
        ("sde", ""),
        ("vdz", ""),
    ],
)
def test_a_disk_is_where_its_domain_writes(target: str, path: str) -> None:
    assert source_of(LIVE.format(ready=""), target) == path


def test_a_mirror_goes_to_a_file_or_to_a_device() -> None:
    assert mirror_xml(Source("block", "/dev/drbd1"), "raw") == (
        '<disk type="block" device="disk"><driver name="qemu" type="raw" />'
        '<source dev="/dev/drbd1" /></disk>'
    )
    assert '<source file="/pool/a" />' in mirror_xml(Source("file", "/pool/a"), "qcow2")
