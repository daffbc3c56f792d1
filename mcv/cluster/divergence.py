"""A divergence: two settled documents of which neither contains the other. Shown, never merged;
an operator's word says which one goes on."""

import secrets
from typing import Any

from mcv.document import changes
from mcv.document.lineage import relation
from mcv.document.model import ChangeMade, Cluster, Past, decode, digest, plain
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.system.fanout import ask_all
from mcv.timestamps import timestamp

DEADLINE = 3.0


def documents(host: Host) -> dict[str, Cluster]:
    """The settled document of each member that answers, this node's included."""
    others = [name for name in host.read().nodes if name != host.name]
    found = {host.name: host.read()}
    for name, answer in ask_all(host.call, others, "config.fetch", DEADLINE).items():
        if not isinstance(answer, McvError):
            found[name] = decode(answer["document"])
    return found


def differing(base: Cluster, found: dict[str, Cluster]) -> dict[str, Cluster]:
    """Whose document diverges from base."""
    hash_ = digest(base)
    return {
        name: one
        for name, one in found.items()
        if relation(base, hash_, one, digest(one)) == "diverged"
    }


def sync(host: Host, node: str, dry_run: bool = False) -> dict[str, Any]:
    """Settle a divergence: the document of node goes on, the others' are given up.

    Both stay in the histories. Refused where nothing diverges, or where a member whom that
    document calls online does not answer.
    """
    cluster = host.read()
    if node not in cluster.nodes:
        cluster.node(node)
    found = documents(host)
    if node not in found:
        raise Refused(f"{node} does not answer, so its document cannot be taken.")
    base = found[node]
    others = differing(base, found)
    if not others:
        raise Refused(f"Nothing diverges from the document of {node}.", "See: mcv cluster check")
    lost = [line for name, one in sorted(others.items()) for line in differences(name, base, one)]
    if dry_run:
        return {"dry_run": True, "plan": lost}
    params = {
        "node": node,
        "change": host.job.next_change(),
        "who": host.job.who,
        "why": f"cluster sync from {node}",
    }
    writer = base.coordinator
    if writer == host.name:
        settle(host, **params)
    else:
        host.call(writer, "config.sync", **params)
    return {"from": node, "lost": lost}


def settle(host: Host, node: str, change: str, who: str, why: str) -> dict[str, Any]:
    """Begin the epoch that names all ends as its past; the first online member does it."""
    found = documents(host)
    if node not in found:
        raise Refused(f"{node} does not answer {host.name}.")
    base = found[node]
    silent = sorted(set(base.online) - set(found))
    if silent:
        raise Refused(f"{' and '.join(silent)} does not answer {host.name}.", "See: mcv info")
    pasts = {
        (past.epoch, past.generation): past
        for one in differing(base, found).values()
        for past in ends(one)
    }
    params = {
        "pasts": [plain(past) for past in pasts.values()],
        "number": max(one.epoch.number for one in found.values()) + 1,
        "epoch": secrets.token_hex(8),
    }
    made = ChangeMade(id=change, who=who, when=timestamp(), why=why, node=host.name)
    new = changes.apply(base, "cluster.sync", params, made)
    host.consensus.resolve_divergence(base, new)
    return {"generation": new.generation}


def ends(cluster: Cluster) -> list[Past]:
    """Where each epoch of a document ended, its own at the document itself."""
    starts = zip(cluster.epochs, cluster.epochs[1:], strict=False)
    found = [Past(epoch=one.id, generation=to.generation, hash=to.hash) for one, to in starts]
    here = Past(epoch=cluster.epoch.id, generation=cluster.generation, hash=digest(cluster))
    return [*found, here]


def differences(name: str, base: Cluster, other: Cluster) -> list[str]:
    """What of another document would be lost if base went on, a line each."""
    found = [
        f"{name}: generation {other.generation} of epoch {other.epoch.number}, last changed by "
        f"{other.change.who} at {other.change.when}: {other.change.why}"
    ]
    for what in ("nodes", "vms", "networks"):
        mine, theirs = getattr(base, what), getattr(other, what)
        for key in sorted({*mine, *theirs}):
            if key not in mine:
                found.append(f"{name}: {what[:-1]} {key} is only there")
            elif key not in theirs:
                found.append(f"{name}: {what[:-1]} {key} is not there")
            elif mine[key] != theirs[key]:
                found.append(f"{name}: {what[:-1]} {key} differs: {_parts(mine[key], theirs[key])}")
    for what in ("permissions", "drbd"):
        if getattr(base, what) != getattr(other, what):
            parts = _parts(getattr(base, what), getattr(other, what))
            found.append(f"{name}: {what} differ: {parts}")
    return found


def _parts(mine: Any, theirs: Any) -> str:
    fields = [one for one in mine.__struct_fields__ if getattr(mine, one) != getattr(theirs, one)]
    return ", ".join(f"{one} {_short(getattr(theirs, one))}" for one in fields)


def _short(value: Any) -> str:
    text = str(plain(value))
    return text if len(text) <= 60 else text[:59] + "…"
