"""An overlay laid over a domain: what it names is set or added, and nothing is lost."""

import xml.etree.ElementTree as ET

import pytest

from mcv.document import overlays
from mcv.drivers import overlay
from mcv.drivers.domain_reading import mark_of
from mcv.drivers.domain_source import Source
from mcv.drivers.domain_xml import domain_xml
from tests.documents import vm

DOMAIN = """
<domain type="kvm"><name>web1</name><features><acpi/></features>
<devices>
<controller type="scsi" index="0" model="virtio-scsi"/>
<controller type="pci" index="1" model="pcie-root-port"/>
<interface type="bridge"><mac address="52:54:00:00:00:01"/><source bridge="br"/></interface>
<video><model type="vga"/></video>
<rng model="virtio"><backend model="random">/dev/urandom</backend></rng>
</devices></domain>
"""

# What is laid over, and what is there then: (story, overlay, path, how many).
MERGED = [
    ("a new device", "<devices><watchdog model='x'/></devices>", "devices/watchdog[@model='x']", 1),
    ("nothing is lost", "<devices><watchdog/></devices>", "devices/interface", 1),
    ("a new element", "<iothreads>2</iothreads>", "iothreads[.='2']", 1),
    ("a deeper one", "<features><hyperv><relaxed state='on'/></hyperv></features>",
     "features/hyperv/relaxed[@state='on']", 1),
    ("beside what is there", "<features><apic/></features>", "features/acpi", 1),
    ("an attribute is set", "<devices><video><model type='qxl'/></video></devices>",
     "devices/video/model[@type='qxl']", 1),
    ("not twice", "<devices><video><model type='qxl'/></video></devices>", "devices/video", 1),
    ("by type and index", "<devices><controller type='scsi' index='0'><driver queues='4'/>"
     "</controller></devices>", "devices/controller[@model='virtio-scsi']/driver[@queues='4']", 1),
    ("another index", "<devices><controller type='scsi' index='1'/></devices>",
     "devices/controller[@type='scsi']", 2),
    ("another type", "<devices><controller type='usb' index='0'/></devices>",
     "devices/controller", 3),
    ("by MAC", "<devices><interface type='bridge'><mac address='52:54:00:00:00:01'/><mtu size='9'/>"
     "</interface></devices>", "devices/interface/mtu", 1),
    ("a MAC in capitals", "<devices><interface><mac address='52:54:00:00:00:0A'/></interface>"
     "<interface><mac address='52:54:00:00:00:0a'/><mtu size='9'/></interface></devices>",
     "devices/interface", 2),
    ("by model", "<devices><rng model='virtio'><rate bytes='9'/></rng></devices>",
     "devices/rng[backend]/rate", 1),
    ("another model", "<devices><rng model='egd'/></devices>", "devices/rng", 2),
    ("each hostdev is another", "<devices><hostdev/><hostdev/></devices>", "devices/hostdev", 2),
    ("timers by name", "<clock><timer name='rtc'/><timer name='pit'/></clock>", "clock/timer", 2),
    ("text is set", "<devices><rng model='virtio'><backend>/dev/hwrng</backend></rng></devices>",
     "devices/rng/backend[.='/dev/hwrng']", 1),
    ("QEMU's own", f"<q:commandline xmlns:q='{overlays.QEMU}'><q:arg value='-a'/>"
     "<q:arg value='-a'/></q:commandline>",
     f"{{{overlays.QEMU}}}commandline/{{{overlays.QEMU}}}arg", 2),
]  # fmt: skip


@pytest.mark.parametrize(("story", "text", "path", "number"), MERGED, ids=[m[0] for m in MERGED])
def test_what_an_overlay_names_is_set_or_added(
    story: str, text: str, path: str, number: int
) -> None:
    domain = ET.fromstring(DOMAIN)

    overlay.lay(overlays.parse(f"<domain>{text}</domain>"), domain)

    assert len(domain.findall(path)) == number
    assert domain.findtext("name") == "web1" and domain.get("type") == "kvm"


def test_a_domains_xml_has_the_overlay_and_tells_which() -> None:
    text = "<domain><devices><watchdog model='i6300esb' action='reset'/></devices></domain>"
    plain, laid = vm(machine="q35", disks=()), vm(machine="q35", disks=(), overlay=text)

    before, after = (
        domain_xml(each, sources={}, networks={}, node="n1", domain_type="kvm", emulator="/q")
        for each in (plain, laid)
    )

    added = [line for line in after.splitlines() if line not in before.splitlines()]
    assert [line.strip() for line in added if "mcv:vm" not in line] == [
        '<watchdog model="i6300esb" action="reset" />'
    ]
    marks = mark_of(before), mark_of(after)
    assert [mark.overlay for mark in marks if mark] == ["", overlays.digest(text)]


def test_an_overlay_keeps_the_order_of_what_was_there() -> None:
    laid = vm(overlay="<domain><devices><sound model='ich9'/></devices></domain>")
    sources = {disk.id: Source(type="block", path="/dev/x") for disk in laid.disks}

    xml = domain_xml(
        laid, sources=sources, networks={}, node="n1", domain_type="kvm", emulator="/q"
    )

    tags = [element.tag for element in ET.fromstring(xml).findall("devices/*")]
    assert tags[0] == "emulator" and tags[-1] == "sound"
