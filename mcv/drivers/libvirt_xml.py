"""What libvirt says in XML of a host and of a domain that runs, read."""

import xml.etree.ElementTree as ET

from mcv.document.generation import Value


class Capabilities(Value, frozen=True, kw_only=True):
    """What libvirt says that this host can run; `emulators` by domain type."""

    emulators: dict[str, str]
    cpu_model: str = ""
    cpu_vendor: str = ""
    machines: tuple[str, ...] = ()

    @property
    def domain_type(self) -> str:
        """The type to take: kvm where libvirt lists it. /dev/kvm alone is no proof."""
        return "kvm" if "kvm" in self.emulators else "qemu"

    @property
    def emulator(self) -> str:
        return self.emulators.get(self.domain_type, "")


def vnc_of(xml: str) -> str | None:
    """Read a running domain's XML: address:port of its VNC server."""
    graphics = ET.fromstring(xml).find("devices/graphics[@type='vnc']")
    if graphics is None or int(graphics.get("port", "-1")) < 0:
        return None
    return f"{graphics.get('listen', '127.0.0.1')}:{graphics.get('port')}"


def parse_capabilities(xml: str) -> Capabilities:
    """Read libvirt's capabilities: what full virtualisation of x86_64 it offers."""
    root = ET.fromstring(xml)
    emulators: dict[str, str] = {}
    machines: list[str] = []
    for guest in root.findall("guest"):
        arch = guest.find("arch[@name='x86_64']")
        if arch is None or guest.findtext("os_type") != "hvm":
            continue
        common = arch.findtext("emulator", "")
        for domain in arch.findall("domain"):
            emulators[domain.get("type", "")] = domain.findtext("emulator", common)
        machines += [(machine.text or "") for machine in arch.findall("machine")]
    return Capabilities(
        emulators=emulators,
        cpu_model=root.findtext("host/cpu/model", ""),
        cpu_vendor=root.findtext("host/cpu/vendor", ""),
        machines=tuple(machines),
    )


class Needs(Value, frozen=True, kw_only=True):
    """What a domain that runs was given, and has to find where it moves; `cpu` as XML."""

    domain_type: str
    emulator: str
    machine: str
    cpu: str


def parse_needs(xml: str) -> Needs:
    """Read the XML that a domain runs with."""
    root = ET.fromstring(xml)
    kind, cpu = root.find("os/type"), root.find("cpu")
    return Needs(
        domain_type=root.get("type", ""),
        emulator=root.findtext("devices/emulator", ""),
        machine="" if kind is None else kind.get("machine", ""),
        cpu="" if cpu is None else ET.tostring(cpu, encoding="unicode"),
    )
