"""The processor that this host's libvirt can give to guests, and what others have in common."""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from mcv.document.hardware import Cpu
from mcv.drivers.domain_devices import cpu_element
from mcv.drivers.libvirt_connection import Connection, libvirt_module, slow_read
from mcv.drivers.libvirt_xml import parse_capabilities
from mcv.errors import HypervisorFailed

ARCH = "x86_64"


def host_model(domain_capabilities: str) -> str:
    """The processor among a domain's capabilities, as the XML that libvirt compares."""
    mode = ET.fromstring(domain_capabilities).find("cpu/mode[@name='host-model']")
    if mode is None or mode.get("supported") != "yes" or mode.find("model") is None:
        raise HypervisorFailed("libvirt does not know the processor of this host.")
    cpu = ET.Element("cpu", mode="custom", match="exact")
    cpu.extend(list(mode))
    return ET.tostring(cpu, encoding="unicode")


def cpu_of(xml: str) -> Cpu:
    """A processor of libvirt's in the document's words; HypervisorFailed for what is none."""
    root = ET.fromstring(xml)
    features = {each.get("name"): each.get("policy") for each in root.iterfind("feature")}
    try:
        raw = {"model": root.findtext("model", "").strip(), "features": features}
        return msgspec.convert(raw, Cpu)
    except msgspec.ValidationError as error:
        raise HypervisorFailed(f"A processor of libvirt cannot be kept: {error}") from error


class Processor:
    """Asks libvirt about processors, for the kind of domain that this host runs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @slow_read
    def own(self) -> str:
        """What this host can give to a guest."""
        text = self._ask(
            "read the processor",
            lambda host, emulator, kind: host.getDomainCapabilities(emulator, ARCH, None, kind, 0),
        )
        return host_model(str(text))

    @slow_read
    def baseline(self, processors: Sequence[str]) -> Cpu:
        """What all of these can do. Raises HypervisorFailed, for instance of two vendors."""
        text = self._ask(
            "compare the processors",
            lambda host, emulator, kind: host.baselineHypervisorCPU(
                emulator, ARCH, None, kind, list(processors), 0
            ),
        )
        return cpu_of(str(text))

    @slow_read
    def can_run(self, cpu: Cpu) -> bool:
        """Whether this host can give this to a guest. HypervisorFailed for an unknown model."""
        text = ET.tostring(cpu_element(cpu), encoding="unicode")
        compared = self._ask(
            f"compare the processor with {cpu.model}",
            lambda host, emulator, kind: host.compareHypervisorCPU(
                emulator, ARCH, None, kind, text, 0
            ),
        )
        return bool(compared > libvirt_module().VIR_CPU_COMPARE_INCOMPATIBLE)

    def _ask(self, what: str, question: Callable[[Any, str, str], Any]) -> Any:
        with self._connection.translated(f"Could not {what}"):
            can = parse_capabilities(self._connection.retrying(lambda host: host.getCapabilities()))
            return self._connection.retrying(
                lambda host: question(host, can.emulator, can.domain_type)
            )
