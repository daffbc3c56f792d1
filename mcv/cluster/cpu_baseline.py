"""The processor that all members can give to a guest, and what a new member lacks of it."""

from msgspec import Struct

from mcv.document.hardware import Cpu
from mcv.document.schema import older_member
from mcv.errors import McvError, Refused, refuse_all
from mcv.host import DryRun, Host
from mcv.system.answers import ask_typed, plain
from mcv.vm import processor

ASK = 15.0  # s that a node has to tell its processor


class Baseline(Struct, frozen=True, kw_only=True):
    """What all members can do, what new VMs get, and whether that was written down now.

    `stored` is None where new VMs get the model of their host.
    """

    cpu: Cpu
    stored: Cpu | None
    nodes: list[str]
    set: bool = False


def baseline(host: Host, set: bool = False, dry_run: bool = False) -> Baseline | DryRun:
    """Ask every member for its processor, and tell what all of them can do; with set, keep it.

    Raises Refused, with every reason, where a member is offline or does not answer.
    """
    cluster = host.read()
    problems = [_offline(node) for node in sorted({*cluster.nodes} - {*cluster.online})]
    if set and cluster.schema < 3:
        problems.append(older_member("It cannot be written down"))
    processors: list[str] = []
    for node, answer in ask_typed(host.call, cluster.online, "node.cpu", ASK, str).items():
        if isinstance(answer, McvError):
            problems.append(Refused(f"{node} is needed: {answer.message}", answer.hint))
        else:
            processors.append(answer)
    refuse_all(problems)
    cpu = host.domains.processor.baseline(processors)
    if set and dry_run:
        return DryRun(plan=[f"document: new VMs get {cpu.model}"])
    if set:
        host.update("cluster.cpu", "cluster cpu-baseline", cpu=plain(cpu))
    stored = cpu if set else cluster.cpu_baseline
    return Baseline(cpu=cpu, stored=stored, nodes=cluster.online, set=set)


def _offline(node: str) -> Refused:
    return Refused(f"{node} is offline.", f"Bring it back with: mcv node online {node}")


def warning(host: Host, node: str) -> str:
    """What a new member lacks of what new VMs get; "" where it lacks nothing, or is silent."""
    cpu = host.read().cpu_baseline
    problems = processor.why_not(host, "what new VMs get", cpu, [node])
    if cpu is None or not problems:
        return ""
    return (
        f"The processor of {node} lacks what new VMs get ({cpu.model}): they cannot run there. "
        "What all nodes can do now: mcv cluster cpu-baseline --set"
    )
