"""The report that each node gives of itself, and the reports of all nodes together."""

import contextvars
import threading
from collections.abc import Callable

from msgspec import Struct

import mcv
from mcv.drbd import notes, pairs, verification_age, verification_results
from mcv.drivers.domain_reading import SavedState
from mcv.drivers.libvirt_identity import DomainStates, ForeignDomain
from mcv.errors import LibvirtSilent, McvError
from mcv.host import Host
from mcv.recovery import journal_recovery
from mcv.recovery.rows import Unfinished
from mcv.rules.replica_state import ReplicaState
from mcv.storage import drbd, rooms
from mcv.storage.rooms import Room
from mcv.system import room, stall
from mcv.system.answers import ask_living_typed
from mcv.system.fanout import ask_all
from mcv.system.memory import Memory, memory


class NodeReport(Struct, frozen=True, kw_only=True):
    """What runs on one node: domains, DRBD, work that somebody is needed for.

    What a tool of the node did not tell is None, and `trouble` says why, `problem` in a word or
    two what is wrong with the node; "" where nothing is. `blocked` are the
    resources with a failed verification that is noted on that node alone, `verifying` the VMs
    that its daemon verifies now, `not_started` the VMs that are to start with that node and
    cannot, with the reason, `unverified` its VMs that were not verified for two periods, with the
    time of the last verification, `io_errors` the VMs paused since a disk failed, `diverged` the
    nodes that hold another document, `full` that the node can write nothing down, `rooms` the
    node's pools by name and `memory` the host's. `lease_left` is for how many seconds the node may
    run guests in an armed cluster, None without a lease. Where the node decides for high
    availability, `fencing` are the nodes that it has switched off, and `waits` what is an
    operator's turn. `domains` are the VMs' own, `saved` is the memory of VMs that is saved there,
    be they active or not; `foreign` are domains that have the name or the UUID of a VM and are not
    the VM's. All are by VM.
    """

    version: str
    in_contact: bool
    domains: dict[str, str] | None
    resources: dict[str, ReplicaState] | None
    left: list[Unfinished]
    trouble: list[str]
    blocked: list[str]
    verifying: list[str]
    not_started: dict[str, str] = {}
    foreign: dict[str, ForeignDomain] = {}
    problem: str = ""
    full: str = ""
    unverified: dict[str, str] = {}
    io_errors: tuple[str, ...] = ()
    diverged: tuple[str, ...] = ()
    saved: dict[str, SavedState] = {}
    rooms: dict[str, Room] = {}
    memory: Memory | None = None
    lease_left: float | None = None
    fencing: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()


class Part(Struct, frozen=True, kw_only=True):
    """What one tool of this host tells of a report; the rest is None."""

    domains: DomainStates | None = None
    saved: dict[str, SavedState] = {}
    resources: dict[str, ReplicaState] | None = None
    rooms: dict[str, Room] = {}


LIBVIRT, DRBD, POOLS = "libvirt", "DRBD", "pools"
PROBLEMS = {LIBVIRT: "libvirt does not answer", DRBD: "DRBD cannot be read"}
PART = 1.5  # s that a tool has to tell its part; a node that lives has fanout.ANSWER in all

Reports = dict[str, NodeReport | McvError]  # by node; the error that stands for its silence


def report(host: Host) -> NodeReport:
    """Answer another node: what runs here. A tool that fails or hangs costs its own part."""
    parts = _parts(host)
    libvirt, drbd_, pools = parts[LIBVIRT], parts[DRBD], parts[POOLS]
    domains = libvirt.domains if isinstance(libvirt, Part) else None
    full = room.problem(host.settings.state)
    lacking = [tool for tool in PROBLEMS if isinstance(parts[tool], McvError)]
    return NodeReport(
        version=mcv.__version__,
        in_contact=host.consensus.in_contact,
        domains=domains.vms if domains else None,
        foreign=domains.foreign if domains else {},
        diverged=tuple(sorted(host.consensus.diverged)),
        io_errors=domains.io_errors if domains else (),
        saved=libvirt.saved if isinstance(libvirt, Part) else {},
        resources=drbd_.resources if isinstance(drbd_, Part) else None,
        left=journal_recovery.left(host),
        trouble=[
            *(_trouble(host, tool, parts[tool]) for tool in lacking),
            *(
                [f"{full} on {host.name}: {room.hint(host.name, host.settings.state)}"]
                if full
                else []
            ),
        ],
        blocked=notes.blocked(host.settings.notes),
        verifying=sorted(verification_results.under_way(host)),
        not_started={name: attempt.why for name, attempt in host.start_attempts.items()},
        problem=PROBLEMS[lacking[0]] if lacking else full,
        full=full,
        unverified=verification_age.overdue(host),
        rooms=pools.rooms if isinstance(pools, Part) else {},
        memory=memory(),
        lease_left=host.lease.left(),
        fencing=_fencing(host),
        waits=_waits(host),
    )


def _fencing(host: Host) -> tuple[str, ...]:
    decision = host.managing.decision
    nodes = decision.status.nodes.items() if decision is not None else ()
    return tuple(sorted(name for name, node in nodes if node.state == "fencing"))


def _waits(host: Host) -> tuple[str, ...]:
    """Of nodes: what is managed says so itself."""
    decision = host.managing.decision
    reasons = decision.reasons.nodes.values() if decision is not None else ()
    return tuple(reason.whole for reason in reasons if reason.attention)


def _parts(host: Host) -> dict[str, Part | McvError]:
    """What the tools of this host tell, each for itself and all at once."""
    readers: dict[str, Callable[[], Part]] = {
        LIBVIRT: lambda: Part(domains=host.domains.states(), saved=host.domains.saved.all()),
        DRBD: lambda: Part(resources=drbd.states(host)),
        POOLS: lambda: Part(rooms=rooms.for_report(host)),
    }

    def ask(tool: str, _: str, timeout: float) -> Part:
        return readers[tool]()

    context = contextvars.copy_context()
    context.run(stall.in_a_hurry.set, True)
    return context.run(ask_all, ask, readers, "", PART)


def _trouble(host: Host, tool: str, part: Part | McvError) -> str:
    """Why a tool of this host does not tell its part, in a line."""
    if isinstance(part, LibvirtSilent):
        return part.sentence
    why = part.message if isinstance(part, McvError) else ""
    return f"{PROBLEMS[tool]} on {host.name}: {why}"


def reports(host: Host) -> Reports:
    """Every member's report; the error instead for a node whose report did not arrive."""
    others = [name for name in host.read().nodes if name != host.name]
    patience = host.observations.patience(others)
    own: list[NodeReport] = []
    looking = threading.Thread(target=lambda: own.append(report(host)), daemon=True)
    looking.start()
    seen = ask_living_typed(host.call, others, "node.report", patience, NodeReport)
    looking.join()
    seen[host.name] = own[0] if own else McvError(f"{host.name} cannot look at itself.")
    pairs.complete(
        host, {name: told_by.resources for name, told_by in told(seen).items() if told_by.resources}
    )
    return seen


def told(seen: Reports) -> dict[str, NodeReport]:
    """The reports that arrived."""
    return {name: answer for name, answer in seen.items() if isinstance(answer, NodeReport)}
