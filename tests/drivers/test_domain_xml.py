"""What libvirt is told of a VM, judged by libvirt's own schema too."""

import re
import xml.etree.ElementTree as ET
from typing import Any, Literal

import libvirt
import pytest
from msgspec.structs import replace

from mcv.document.disks import DrbdDisk
from mcv.document.hardware import BootDevice, Cpu, Watchdog
from mcv.document.model import Vm
from mcv.document.networks import Network, Nic
from mcv.drivers.domain_devices import hardware
from mcv.drivers.domain_reading import Substance, is_ours, substance
from mcv.drivers.domain_shape import shape
from mcv.drivers.domain_xml import Source, disk_xml, domain_xml, new_mac

LAN = {"lan": Network(name="lan", bridge="br0")}
SOURCES = {number: Source(type="block", path=f"/dev/drbd{99 + number}") for number in range(1, 21)}
ISO = "/var/lib/mcv/images/debian"
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


def new_vm(**values: Any) -> Vm:
    """A VM with a machine of its own."""
    return replace(vm(), **{"machine": "q35", **values})


def xml(one: Vm | None = None, domain_type: str = "qemu") -> str:
    return domain_xml(
        one or vm(),
        sources=SOURCES,
        networks=LAN,
        node="n1",
        domain_type=domain_type,
        emulator="/usr/bin/qemu-system-x86_64",
        cd=ISO,
    )


def test_a_domain_is_what_the_document_says() -> None:
    root = ET.fromstring(xml())

    assert root.findtext("name") == "web1"
    assert root.findtext("uuid") == UUID
    assert (root.findtext("memory"), root.find("memory").get("unit")) == (  # type: ignore[union-attr]
        str(512 * 1024**2),
        "b",
    )
    assert substance(xml()).cpus == 2
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


def with_disks(*disks: DrbdDisk) -> Vm:
    return replace(vm(), disks=disks)


def test_a_disk_is_held_down_as_the_document_says() -> None:
    limited = replace(disk(1), iops=500, bandwidth=1024**2)

    first, second = ET.fromstring(xml(with_disks(limited, disk(2)))).iterfind("devices/disk")

    tuned = {each.tag: each.text for each in first.iterfind("iotune/*")}
    assert tuned == {"total_bytes_sec": "1048576", "total_iops_sec": "500"}
    assert second.find("iotune") is None


def test_scsi_disks_have_the_controllers_that_guests_know() -> None:
    disks = [replace(disk(number), bus="scsi") for number in (2, 15, 16)]

    root = ET.fromstring(xml(with_disks(disk(1), *disks)))

    found = [each.attrib for each in root.iterfind("devices/controller")]
    scsi = [each for each in found if each["type"] == "scsi"]
    assert scsi == [
        {"type": "scsi", "index": index, "model": "virtio-scsi"} for index in ("0", "1")
    ]
    targets = [each.get("dev") for each in root.iterfind("devices/disk/target")]
    assert targets == ["vda", "sdb", "sdo", "sdp"]


def test_a_disk_that_is_leaving_is_in_no_definition() -> None:
    root = ET.fromstring(xml(with_disks(replace(disk(1), leaving=True), disk(2))))

    (only,) = root.iterfind("devices/disk")
    assert only.find("target").get("dev") == "vdb"  # type: ignore[union-attr]
    assert only.find("boot").get("order") == "1"  # type: ignore[union-attr]


def test_a_disk_alone_is_that_of_the_definition_but_for_its_turn_to_boot() -> None:
    alone = ET.fromstring(disk_xml(replace(disk(2), iops=5), SOURCES[2]))

    (_, within) = ET.fromstring(xml(with_disks(disk(1), replace(disk(2), iops=5)))).iterfind(
        "devices/disk"
    )
    within.remove(within.find("boot"))  # type: ignore[arg-type]
    assert ET.canonicalize(ET.tostring(alone), strip_text=True) == ET.canonicalize(
        ET.tostring(within), strip_text=True
    )


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


KINDS = {
    "of before": vm(),
    "new": new_vm(),
    "new on pc": new_vm(machine="pc"),
    "with a CD": new_vm(cd="debian", boot=("cd", "net", "disk")),
    "with a processor": new_vm(cpu=Cpu(model="Nehalem", features={"aes": "disable"})),
    "with UEFI": new_vm(disks=(disk(1), replace(disk(2), role="efi"))),
    "with its host's processor": new_vm(cpu=Cpu(model="host-passthrough")),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("domain_type", ["kvm", "qemu"])
def test_libvirts_schema_accepts_it(domain_type: str, kind: str) -> None:
    # The test driver has its own type and one architecture; all else is judged as it is.
    text = xml(KINDS[kind], domain_type=domain_type)
    text = text.replace(f'type="{domain_type}"', 'type="test"', 1)
    text = re.sub('arch="x86_64" machine="[a-z0-9]+"', 'arch="i686"', text)
    connection = libvirt.open("test:///default")

    defined = connection.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)

    assert is_ours(defined.XMLDesc(0))
    connection.close()


def test_a_vm_of_before_stays_the_machine_that_it_was() -> None:
    root = ET.fromstring(xml())

    assert root.find("os/type").get("machine") == "pc"  # type: ignore[union-attr]
    for path in ("devices/controller[@type='pci']", "devices/serial/log", "cpu"):
        assert root.find(path) is None


def test_a_vm_of_before_gets_an_agents_channel_behind_all_that_it_has() -> None:
    root = ET.fromstring(xml())

    assert root.find("devices/channel/target[@name='org.qemu.guest_agent.0']") is not None
    address = root.find("devices/controller[@type='virtio-serial']/address")
    assert address is not None and address.get("slot") == "0x1f"


@pytest.mark.parametrize("action", ["reset", "poweroff", "pause", "none", "dump", "inject-nmi"])
def test_a_watchdog_is_a_device_with_its_action(action: Watchdog) -> None:
    text = xml(replace(new_vm(), watchdog=action))

    dog = ET.fromstring(text).find("devices/watchdog")
    assert dog is not None and dog.attrib == {"model": "i6300esb", "action": action}
    assert ET.fromstring(xml(new_vm())).find("devices/watchdog") is None


def test_a_new_vm_has_ports_an_agents_channel_and_a_logged_console() -> None:
    root = ET.fromstring(xml(new_vm()))

    assert root.find("os/type").get("machine") == "q35"  # type: ignore[union-attr]
    ports = root.findall("devices/controller[@model='pcie-root-port']")
    assert [port.get("index") for port in ports] == [str(index) for index in range(1, 17)]
    agent = root.find("devices/channel/target")
    assert agent is not None and agent.get("name") == "org.qemu.guest_agent.0"
    log = root.find("devices/serial/log")
    assert log is not None
    assert log.attrib == {"file": "/var/log/libvirt/console/web1.log", "append": "on"}
    assert root.find("devices/rng") is not None and root.find("devices/memballoon") is not None


def test_a_card_in_a_network_of_libvirts_names_it() -> None:
    text = domain_xml(
        new_vm(),
        sources=SOURCES,
        networks={"lan": Network(name="lan", bridge="mcvnat0", nat=True)},
        node="n1",
        domain_type="qemu",
        emulator="q",
    )

    assert substance(text).nics == (("52:54:00:01:02:03", "mcv-lan"),)
    running = text.replace('network="mcv-lan"', 'network="mcv-lan" portid="x" bridge="mcvnat0"')
    assert substance(running).nics == (("52:54:00:01:02:03", "mcv-lan"),)


@pytest.mark.parametrize(("kind", "attribute"), [("block", "dev"), ("file", "file")])
def test_uefis_variables_are_no_disk_of_the_guest(
    kind: Literal["block", "file"], attribute: str
) -> None:
    uefi = new_vm(disks=(disk(1), replace(disk(2), role="efi")))
    sources = {**SOURCES, 2: Source(type=kind, path="/dev/of-uefi")}

    text = domain_xml(
        uefi, sources=sources, networks=LAN, node="n1", domain_type="qemu", emulator="q"
    )

    root = ET.fromstring(text)
    disks = root.findall("devices/disk[@device='disk']/target")
    assert [one.get("dev") for one in disks] == ["vda"]
    nvram = root.find("os/nvram")
    assert nvram is not None and nvram.get("type") == kind
    assert nvram.find("source").attrib == {attribute: "/dev/of-uefi"}  # type: ignore[union-attr]
    loader = root.find("os/loader")
    assert loader is not None and loader.attrib == {"readonly": "yes", "type": "pflash"}
    assert loader.text == "/usr/share/OVMF/OVMF_CODE_4M.fd"
    assert hardware(text).nvram == "/dev/of-uefi" and hardware(text).boot == ("vda", "sdzz")
    assert uefi.disks[1].target == ""


def test_a_file_of_variables_is_read_as_libvirt_writes_it() -> None:
    xml = "<domain><os><type machine='pc-q35-7.2'/><nvram>/pool/a</nvram></os></domain>"

    assert hardware(xml).nvram == "/pool/a"


def test_what_an_operator_chooses_is_written_and_read_as_it_was_chosen() -> None:
    chosen = new_vm(
        cpus=3, cpu_limit=150, video="virtio", keyboard="de", clock="Europe/Berlin", boot=("cd",)
    )

    found = shape(xml(chosen))

    assert (found.cpus, found.most_cpus, found.cpu_limit) == (3, 6, 150)
    assert (found.video, found.keyboard, found.clock) == ("virtio", "de", "Europe/Berlin")
    assert shape(xml(new_vm(clock="localtime"))).clock == "localtime"
    usual = shape(xml(new_vm(cpus=1)))
    assert (usual.most_cpus, usual.cpu_limit, usual.video, usual.clock) == (4, 0, "vga", "utc")
    # A VM of before stays as it was.
    assert shape(xml(vm())).most_cpus == 2


def test_a_watchdog_is_behind_the_last_port_where_it_moves_no_other_device() -> None:
    devices = ET.fromstring(xml(new_vm(watchdog="reset"))).find("devices")

    assert devices is not None
    watchdog, bridge = devices.find("watchdog"), devices.find("controller[@index='17']")
    assert watchdog is not None and bridge is not None
    assert watchdog.attrib == {"model": "i6300esb", "action": "reset"}
    assert bridge.get("model") == "pcie-to-pci-bridge"
    assert bridge.find("address").get("bus") == "16"  # type: ignore[union-attr]
    assert "pcie-to-pci" not in xml(new_vm()) and "<watchdog" not in xml(new_vm())
    old = xml(new_vm(machine="pc", watchdog="pause"))
    assert 'action="pause"' in old and "pcie" not in old


def test_a_machine_without_pcie_gets_no_ports() -> None:
    assert ET.fromstring(xml(new_vm(machine="pc-i440fx-7.2"))).find("devices/controller") is None
    assert ET.fromstring(xml(new_vm(machine="pc-q35-6.2"))).find("devices/controller") is not None


def test_a_processor_of_another_model_is_no_substitute() -> None:
    cpu = Cpu(model="Nehalem", features={"aes": "disable", "vmx": "require"})

    element = ET.fromstring(xml(new_vm(cpu=cpu))).find("cpu")

    assert element is not None and element.attrib == {"mode": "custom", "match": "exact"}
    assert element.find("model").attrib == {"fallback": "forbid"}  # type: ignore[union-attr]
    assert element.findtext("model") == "Nehalem"
    features = [(one.get("name"), one.get("policy")) for one in element.findall("feature")]
    assert features == [("aes", "disable"), ("vmx", "require")]


@pytest.mark.parametrize(
    ("boot", "cd", "order"),
    [
        ((), "", ("vda", "vdb", "sdzz")),
        ((), "debian", ("vda", "vdb", "sdzz")),
        (("cd", "net"), "debian", ("sdzz", "52:54:00:01:02:03")),
        (("net", "disk"), "", ("52:54:00:01:02:03", "vda", "vdb")),
        (("cd", "disk"), "", ("sdzz", "vda", "vdb")),
    ],
)
def test_it_boots_from_what_was_asked_for(
    boot: tuple[BootDevice, ...], cd: str, order: tuple[str, ...]
) -> None:
    assert hardware(xml(new_vm(boot=boot, cd=cd))).boot == order


def test_a_drive_is_there_for_a_cd_that_comes_later() -> None:
    (drive,) = ET.fromstring(xml(new_vm())).findall("devices/disk[@device='cdrom']")

    assert drive.find("source") is None and drive.find("readonly") is not None
    for machine in ("pc", ""):
        text = xml(new_vm(machine=machine))
        assert ET.fromstring(text).find("devices/disk[@device='cdrom']") is None


def test_a_definition_tells_its_chipset_whatever_qemu_calls_it() -> None:
    for machine, kind in (("pc-q35-7.2", "q35"), ("pc-i440fx-7.2", "pc"), ("pc", "pc")):
        assert hardware(xml(new_vm(machine=machine))).machine == kind
    assert hardware(xml(new_vm(cd="debian"))).cd == ISO
    assert hardware(xml(new_vm())).cd == ""


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
        domain_xml(vm(), sources=SOURCES, networks=LAN, node="n1", domain_type="kvm", emulator="q")
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
