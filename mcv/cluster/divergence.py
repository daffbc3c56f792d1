"""A divergence: two committed documents of which neither contains the other.

Both are shown, and never merged; an operator's word says which of them goes on.
"""

import secrets
from typing import Any

from msgspec import Struct

from mcv.document.diff import differences, last_change
from mcv.document.generation import Past
from mcv.document.lineage import relation
from mcv.document.model import Cluster, digest
from mcv.errors import Refused
from mcv.host import DryRun, Host
from mcv.system.answers import plain


class Synced(Struct, frozen=True, kw_only=True, rename={"source": "from"}):
    """The node whose document goes on, and what the other documents lost by it."""

    source: str
    lost: list[str]


def documents(host: Host) -> dict[str, Cluster]:
    """The committed document of each member that answers, this node's included."""
    others = [name for name in host.read().nodes if name != host.name]
    fetched = host.consensus.documents(others)
    answered = {name: one for name, one in fetched.items() if isinstance(one, Cluster)}
    return {host.name: host.read(), **answered}


def diverged(base: Cluster, members: dict[str, Cluster]) -> dict[str, Cluster]:
    """The documents of which neither contains base nor is contained in it."""
    hash_ = digest(base)
    return {
        name: document
        for name, document in members.items()
        if relation(base, hash_, document, digest(document)) == "diverged"
    }


def sync(host: Host, node: str, dry_run: bool = False) -> Synced | DryRun:
    """Resolve a divergence: the document of node goes on, the other ends are given up.

    All documents stay in the histories. Raises Refused where nothing diverges, or where a
    member that the document calls online does not answer.
    """
    cluster = host.read()
    if node not in cluster.nodes:
        cluster.node(node)
    members = documents(host)
    if node not in members:
        raise Refused(f"{node} does not answer, so its document cannot be taken.")
    base = members[node]
    others = diverged(base, members)
    if not others:
        raise Refused(f"Nothing diverges from the document of {node}.", "See: mcv cluster check")
    lost = [line for name, other in sorted(others.items()) for line in losses(name, base, other)]
    if dry_run:
        return DryRun(plan=lost)
    params = {
        "node": node,
        "change": host.job.next_change(),
        "who": host.job.who,
        "why": f"cluster sync from {node}",
    }
    coordinator = base.coordinator
    if coordinator == host.name:
        begin_epoch(host, **params)
    else:
        host.call(coordinator, "config.sync", **params)
    return Synced(source=node, lost=lost)


def begin_epoch(host: Host, node: str, change: str, who: str, why: str) -> None:
    """Commit the epoch that names all ends as its past, over the document of node.

    Precondition: this node is the first online member of that document, and every member
    that it calls online answers. Raises Refused where nothing was changed.
    """
    members = documents(host)
    if node not in members:
        raise Refused(f"{node} does not answer {host.name}.")
    base = members[node]
    silent = sorted(set(base.online) - set(members))
    if silent:
        raise Refused(f"{' and '.join(silent)} does not answer {host.name}.", "See: mcv info")
    pasts = {
        (past.epoch, past.generation): past
        for document in diverged(base, members).values()
        for past in ends(document)
    }
    params: dict[str, Any] = {
        "pasts": [plain(past) for past in pasts.values()],
        "number": max(document.epoch.number for document in members.values()) + 1,
        "epoch": secrets.token_hex(8),
    }
    renewed = new_incarnations(base, list(members.values()))
    if base.schema >= 2 and renewed:
        params["incarnations"] = renewed
    host.consensus.resolve_divergence(base, params, id=change, who=who, why=why)


def new_incarnations(base: Cluster, documents: list[Cluster]) -> dict[str, int]:
    """The VMs that one side moved or resynced, each with an incarnation that no side has used.

    Either side counts its changes by itself, so that the same number may mean different data.
    """
    found = {}
    for name, vm in base.vms.items():
        same = [document.vms[name] for document in documents if name in document.vms]
        same = [other for other in same if other.uuid == vm.uuid]
        if any((other.node, other.incarnation) != (vm.node, vm.incarnation) for other in same):
            found[name] = max(other.incarnation for other in (vm, *same)) + 1
    return found


def losses(name: str, base: Cluster, other: Cluster) -> list[str]:
    """What of a node's document would be lost if base went on, a line each."""
    version = f"generation {other.generation} of epoch {other.epoch.number}"
    lines = [f"{name}: {version}. {last_change(other)}"]
    return lines + [f"{name}: {line} (kept / lost)" for line in differences(base, other)]


def ends(cluster: Cluster) -> list[Past]:
    """Where each epoch of a document ended, its own at the document itself."""
    starts = zip(cluster.epochs, cluster.epochs[1:], strict=False)
    past = [Past(epoch=old.id, generation=new.generation, hash=new.hash) for old, new in starts]
    here = Past(epoch=cluster.epoch.id, generation=cluster.generation, hash=digest(cluster))
    return [*past, here]
