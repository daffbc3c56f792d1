"""What libvirt is told of a VM, judged by libvirt's own schema too."""

import re
import xml.etree.ElementTree as ET

import libvirt
import pytest

from mcv.document.disks import DrbdDisk
from mcv.document.model import Nic, Vm
from mcv.drivers.domain_xml import Source, Substance, domain_xml, is_ours, new_mac, substance

SOURCES = {number: Source(type="block", path=f"/dev/drbd{99 + number}") for number in range(1, 21)}
UUID = "6d637600-0000-4000-8000-000000000001"


def disk(number: int) -> DrbdDisk:
    return DrbdDisk(
        id=number,
        size=1024**3,
        volume=f"mcv-web1-{number}",
        places={"n1": "vg0", "n2": "vg0"},
        resource=f"mcv-web1-{number}",
        minor=99 + number,
        port=7899 + number,
    )


def vm(name: str = "web1", disks: int = 2) -> Vm:
    return Vm(
        name=name,
        uuid=UUID,
        memory=512 * 1024**2,
        cpus=2,
        node="n1",
        nodes=("n1", "n2"),
        disks=tuple(disk(number) for number in range(1, disks + 1)),
        nics=(Nic(network="lan", mac="52:54:00:01:02:03"),),
    )


def xml(one: Vm | None = None, domain_type: str = "qemu") -> str:
    return domain_xml(
        one or vm(),
        sources=SOURCES,
        bridges={"lan": "br0"},
        domain_type=domain_type,
        emulator="/usr/bin/qemu-system-x86_64",
    )


def test_a_domain_is_what_the_document_says() -> None:
    root = ET.fromstring(xml())

    assert root.findtext("name") == "web1"
    assert root.findtext("uuid") == UUID
    assert (root.findtext("memory"), root.find("memory").get("unit")) == (  # type: ignore[union-attr]
        str(512 * 1024**2),
        "b",
    )
    assert root.findtext("vcpu") == "2"
    assert [one.get("bridge") for one in root.findall("devices/interface/source")] == ["br0"]
    assert [one.get("address") for one in root.findall("devices/interface/mac")] == [
        "52:54:00:01:02:03"
    ]


def test_disks_are_the_drbd_devices_without_a_cache_of_the_host() -> None:
    root = ET.fromstring(xml())

    disks = [
        (
            one.find("source").get("dev"),  # type: ignore[union-attr]
            one.find("target").get("dev"),  # type: ignore[union-attr]
            one.find("driver").get("cache"),  # type: ignore[union-attr]
            one.find("boot").get("order"),  # type: ignore[union-attr]
        )
        for one in root.findall("devices/disk")
    ]
    assert disks == [("/dev/drbd100", "vda", "none", "1"), ("/dev/drbd101", "vdb", "none", "2")]


def test_a_domain_that_ended_stays_ended_and_one_can_ask_it_to_end() -> None:
    root = ET.fromstring(xml())

    assert root.findtext("on_poweroff") == "destroy"
    assert root.findtext("on_crash") == "destroy"
    assert root.findtext("on_reboot") == "restart"
    assert root.find("features/acpi") is not None


def test_the_screen_is_seen_from_this_host_alone() -> None:
    listens = ET.fromstring(xml()).findall("devices/graphics/listen")

    assert [one.get("address") for one in listens] == ["127.0.0.1"]


@pytest.mark.parametrize(("domain_type", "mode"), [("kvm", "host-model"), ("qemu", None)])
def test_the_cpu_is_the_hosts_where_there_is_kvm(domain_type: str, mode: str | None) -> None:
    root = ET.fromstring(xml(domain_type=domain_type))

    cpu = root.find("cpu")
    assert root.get("type") == domain_type
    assert (cpu.get("mode") if cpu is not None else None) == mode


def test_a_domain_bears_our_mark() -> None:
    assert is_ours(xml())
    assert not is_ours("<domain><name>theirs</name></domain>")


def test_text_stays_text() -> None:
    hostile = vm("web1</name><x/>")

    root = ET.fromstring(xml(hostile))

    assert root.findtext("name") == "web1</name><x/>"
    assert root.find("x") is None


@pytest.mark.parametrize("domain_type", ["kvm", "qemu"])
def test_libvirts_schema_accepts_it(domain_type: str) -> None:
    # The test driver has its own type and one architecture; all else is judged as it is.
    text = xml(domain_type=domain_type).replace(f'type="{domain_type}"', 'type="test"', 1)
    text = text.replace('arch="x86_64" machine="pc"', 'arch="i686"')
    connection = libvirt.open("test:///default")

    defined = connection.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)

    assert is_ours(defined.XMLDesc(0))
    connection.close()


def test_libvirts_schema_is_strict() -> None:
    connection = libvirt.open("test:///default")
    libvirt.registerErrorHandler(lambda context, error: None, None)
    text = xml().replace('type="qemu"', 'type="test"', 1).replace('cache="none"', 'cash="none"')

    with pytest.raises(libvirt.libvirtError, match="XML document failed to validate"):
        connection.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    connection.close()


def test_addresses_of_interfaces_are_random_and_qemus() -> None:
    found = {new_mac() for _ in range(100)}

    assert len(found) == 100
    assert all(re.fullmatch(r"52:54:00(:[0-9a-f]{2}){3}", mac) for mac in found)


def test_a_definition_comes_down_to_what_the_document_says() -> None:
    found = substance(
        domain_xml(vm(), sources=SOURCES, bridges={"lan": "br0"}, domain_type="kvm", emulator="q")
    )

    assert found == Substance(
        uuid=UUID,
        memory=512,
        cpus=2,
        disks=(("vda", "/dev/drbd100"), ("vdb", "/dev/drbd101")),
        nics=(("52:54:00:01:02:03", "br0"),),
    )


@pytest.mark.parametrize(
    ("amount", "unit"), [("2048", "MiB"), ("2097152", "KiB"), ("2", "GiB"), ("2147483648", "bytes")]
)
def test_memory_is_the_same_in_every_unit(amount: str, unit: str) -> None:
    xml = f"<domain><memory unit='{unit}'>{amount}</memory><vcpu>1</vcpu></domain>"

    assert substance(xml).memory == 2048
