"""The XML that a migrating domain has where it goes: its disks are elsewhere, all else is equal."""

import xml.etree.ElementTree as ET

from mcv.drivers.domain_reading import substance
from mcv.drivers.domain_source import Source
from mcv.drivers.migration_xml import MovedDisks, for_destination

XML = """<domain type='kvm' id='3'>
  <name>web1</name><uuid>72f40895-452d-40c7-91fb-cdb5da2d2e18</uuid>
  <memory unit='KiB'>98304</memory>
  <os>
    <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>
    <nvram>/srv/a/web1-2</nvram>
  </os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='/srv/a/web1-1' index='4'/>
      <backingStore/><target dev='vda' bus='virtio'/>
    </disk>
    <disk type='block' device='disk'>
      <driver name='qemu' type='raw'/><source dev='/dev/drbd100'/><target dev='vdb'/>
    </disk>
    <disk type='file' device='cdrom'><target dev='sdzz' bus='sata'/><readonly/></disk>
  </devices>
</domain>"""


def moved(**values: object) -> MovedDisks:
    usual = {
        "uri": "unix:///disks",
        "mirrored": ("vda",),
        "sources": {"vda": Source(type="block", path="/dev/vg1/web1-1")},
    }
    return MovedDisks(**{**usual, **values})  # type: ignore[arg-type]


def test_the_disks_that_go_along_are_where_the_other_node_has_them() -> None:
    there = ET.fromstring(for_destination(XML, moved()))

    assert substance(ET.tostring(there, encoding="unicode")).disks == (
        ("vda", "/dev/vg1/web1-1"),
        ("vdb", "/dev/drbd100"),
    )
    disk = there.find("devices/disk")
    assert disk is not None and disk.get("type") == "block"
    assert [source.attrib for source in disk.findall("source")] == [{"dev": "/dev/vg1/web1-1"}]
    assert there.findtext("os/nvram") == "/srv/a/web1-2"


def test_the_variables_of_the_firmware_are_there_too() -> None:
    for type, attribute in (("file", "file"), ("block", "dev")):
        variables = Source(type=type, path="/there/web1-2")  # type: ignore[arg-type]
        nvram = ET.fromstring(for_destination(XML, moved(variables=variables))).find("os/nvram")

        assert nvram is not None and (nvram.text or "").strip() == ""
        assert nvram.get("type") == type
        assert [source.attrib for source in nvram] == [{attribute: "/there/web1-2"}]


def test_nothing_else_is_touched() -> None:
    same = for_destination(XML, moved(sources={}))

    assert ET.canonicalize(same) == ET.canonicalize(XML)
