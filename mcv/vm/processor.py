"""Whether nodes can run the processor of a VM."""

from typing import Any

import msgspec

from mcv.document.hardware import Cpu
from mcv.document.model import Vm
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.system.answers import ask_typed, plain

ASK = 15.0  # s that a node has to compare processors


def own(host: Host) -> str:
    """The processor that this node can give to guests, in libvirt's XML."""
    return host.domains.processor.own()


def lacks(host: Host, cpu: dict[str, Any]) -> bool:
    """Whether this node cannot run a processor, for a member that asks."""
    return not host.domains.processor.can_run(msgspec.convert(cpu, Cpu))


def why_not_here(host: Host, vm: Vm) -> list[Refused]:
    """Why this node cannot run the VM's processor; nothing where any node can."""
    if vm.cpu is None or vm.cpu.is_the_hosts or host.domains.processor.can_run(vm.cpu):
        return []
    return [_lacking(host.name, vm.name, vm.cpu)]


def why_not(host: Host, name: str, cpu: Cpu | None, nodes: list[str]) -> list[Refused]:
    """Why some of these nodes cannot run a new VM's processor; a silent node tells nothing."""
    if cpu is None or cpu.is_the_hosts:
        return []
    answers = ask_typed(host.call, nodes, "node.lacks_cpu", ASK, bool, cpu=plain(cpu))
    found = [_lacking(node, name, cpu) for node, lacks_it in answers.items() if lacks_it is True]
    unknown = answers.get(host.name)
    if isinstance(unknown, McvError):
        found.append(Refused(unknown.message, unknown.hint))
    return found


def _lacking(node: str, name: str, cpu: Cpu) -> Refused:
    return Refused(
        f"The processor of {node} lacks what {name} needs ({cpu.model}).",
        "What all nodes can do: mcv cluster cpu-baseline",
    )
