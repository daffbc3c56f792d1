"""mcv ha list: what high availability manages, where it runs, and what becomes of it."""

from msgspec import Struct

from mcv.document.ha_entries import HaEntry
from mcv.document.model import Cluster
from mcv.errors import McvError
from mcv.host import Host
from mcv.rules import managed
from mcv.service.answers import ServiceSeen
from mcv.status.report import reports
from mcv.status.vms import summary
from mcv.system.answers import ask_typed

ASK = 1.8  # s that an owner has to tell of its services: reads answer within 3 s


class HaRow(Struct, frozen=True, kw_only=True):
    """What is managed. `node` owns it; `home` is where an operator last put it.

    `restarts` and `relocates` are counted in its window; None where nobody counts. `reason` says
    why it is where it is, `attention` what needs somebody.
    """

    name: str
    kind: str
    wanted: str
    state: str
    node: str
    home: str
    domain: str
    restarts: int | None
    relocates: int | None
    reason: str
    attention: str | None


class Seen(Struct, frozen=True, kw_only=True):
    """What a node tells of a VM or service of its own."""

    node: str
    home: str
    state: str
    attention: str | None = None


def list_(host: Host) -> list[HaRow]:
    """Every VM and service that high availability manages."""
    cluster = host.read()
    seen = {**_vms(host, cluster), **_services(host, cluster)}
    entries = managed.entries_of(cluster)
    return [_row(cluster, name, entry, seen[name]) for name, entry in sorted(entries.items())]


def _vms(host: Host, cluster: Cluster) -> dict[str, Seen]:
    told = reports(host)
    found = {}
    for name in cluster.ha_vms:
        vm = cluster.vms[name]
        row = summary(cluster, vm, told)
        found[name] = Seen(node=vm.node, home=vm.home, state=row.state, attention=row.attention)
    return found


def _services(host: Host, cluster: Cluster) -> dict[str, Seen]:
    """What the owners tell of their services; "unknown" of one whose owner does not."""
    owners = sorted({service.node for service in cluster.services.values()} & {*cluster.online})
    answers = ask_typed(host.call, owners, "node.services", ASK, list[ServiceSeen])
    told = {
        (node, one.name): one
        for node, answer in answers.items()
        if not isinstance(answer, McvError)
        for one in answer
    }
    found = {}
    for name, service in cluster.services.items():
        one = told.get((service.node, name))
        found[name] = Seen(
            node=service.node,
            home=service.home,
            state=one.state if one else "unknown",
            attention=f"on {service.node}: {one.problem}" if one and one.problem else None,
        )
    return found


def _row(cluster: Cluster, name: str, entry: HaEntry, seen: Seen) -> HaRow:
    return HaRow(
        name=name,
        kind="service" if name in cluster.services else "vm",
        wanted=entry.wanted,
        state=_state(cluster, entry, seen),
        node=seen.node,
        home=seen.home,
        domain=entry.domain,
        restarts=None,
        relocates=None,
        reason=_reason(cluster, entry, seen),
        attention=_attention(name, entry) or seen.attention,
    )


def _state(cluster: Cluster, entry: HaEntry, seen: Seen) -> str:
    """In the words of high availability; what it leaves alone is frozen."""
    if entry.failed:
        return "failed"
    if not cluster.ha.armed or entry.wanted == "ignored":
        return "frozen"
    if seen.state in ("running", "paused", "started"):
        return "started"
    return "stopped" if seen.state in ("stopped", "saved", "crashed") else seen.state


def _reason(cluster: Cluster, entry: HaEntry, seen: Seen) -> str:
    if entry.failed:
        return entry.failed
    if not cluster.ha.armed:
        return f"the cluster is not armed; on {seen.node} it is {seen.state}"
    if entry.wanted == "ignored":
        return f"it is to be left alone; on {seen.node} it is {seen.state}"
    return f"on {seen.node} it is {seen.state}"


def _attention(name: str, entry: HaEntry) -> str | None:
    if not entry.failed:
        return None
    return f"it has failed: {entry.failed}. When that is mended: mcv ha set {name} --state started"
