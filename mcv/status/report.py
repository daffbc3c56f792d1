"""The report that each node gives of itself, and the reports of all nodes together."""

from msgspec import Struct

import mcv
from mcv.drbd import notes, pairs, verification_results
from mcv.drivers.libvirt_identity import DomainStates, ForeignDomain
from mcv.errors import McvError
from mcv.host import Host
from mcv.rules.replica_state import ReplicaState
from mcv.storage import drbd
from mcv.system.answers import ask_living_typed


class Unfinished(Struct, frozen=True, kw_only=True):
    """A journal entry of a node that no running job carries out."""

    operation: str
    title: str
    trouble: str


class NodeReport(Struct, frozen=True, kw_only=True):
    """What runs on one node: domains, DRBD, work that somebody is needed for.

    What a tool of the node did not tell is None, and `trouble` says why. `blocked` are the
    resources with a failed verification that is noted on that node alone, `verifying` the VMs
    that its daemon verifies now, `not_started` the VMs that are to start with that node and
    cannot, with the reason. `domains` are the VMs' own;
    `foreign` are domains that have the name or the UUID of a VM and are not the VM's. Both are by
    VM.
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


Reports = dict[str, NodeReport | McvError]  # by node; the error that stands for its silence


def report(host: Host) -> NodeReport:
    """Answer another node: what runs here."""
    trouble: list[str] = []
    domains: DomainStates | None = None
    resources: dict[str, ReplicaState] | None = {}
    try:
        domains = host.domains.states()
    except McvError as error:
        trouble.append(f"libvirt does not answer on {host.name}: {error.message}")
    try:
        resources = drbd.states(host)
    except McvError as error:
        resources = None
        trouble.append(f"DRBD cannot be read on {host.name}: {error.message}")
    return NodeReport(
        version=mcv.__version__,
        in_contact=host.consensus.in_contact,
        domains=domains.vms if domains else None,
        foreign=domains.foreign if domains else {},
        resources=resources,
        left=_left(host),
        trouble=trouble,
        blocked=notes.blocked(host.settings.notes),
        verifying=sorted(verification_results.under_way(host)),
        not_started={name: attempt.why for name, attempt in host.start_attempts.items()},
    )


def _left(host: Host) -> list[Unfinished]:
    return [
        Unfinished(operation=entry.operation, title=entry.title, trouble=entry.trouble)
        for entry in host.journal.entries()
        if entry.node == host.name and not host.jobs.running(entry.operation)
    ]


def reports(host: Host) -> Reports:
    """Every member's report; the error instead for a node whose report did not arrive."""
    others = [name for name in host.read().nodes if name != host.name]
    patience = host.observations.patience(others)
    seen = ask_living_typed(host.call, others, "node.report", patience, NodeReport)
    seen[host.name] = report(host)
    pairs.complete(
        host, {name: told_by.resources for name, told_by in told(seen).items() if told_by.resources}
    )
    return seen


def told(seen: Reports) -> dict[str, NodeReport]:
    """The reports that arrived."""
    return {name: answer for name, answer in seen.items() if isinstance(answer, NodeReport)}
