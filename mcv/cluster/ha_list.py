"""mcv ha list: what high availability manages, where it runs, and what becomes of it."""

import contextvars
import threading
from collections.abc import Callable

from msgspec import Struct

from mcv.cluster import ha_told
from mcv.cluster.ha_told import Decided, ToldOf
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
    return rows(host, None)


def rows(host: Host, decided: Decided | None) -> list[HaRow]:
    """The same, with what the manager has decided about them where that is known already.

    Nodes, services and the manager are asked side by side: whoever is silent is waited for once.
    """
    cluster = host.read()
    seen: dict[str, Seen] = {}
    told: list[Decided] = [decided] if decided is not None else []
    _side_by_side(
        lambda: seen.update(_vms(host, cluster)),
        lambda: seen.update(_services(host, cluster)),
        *([] if told else [lambda: told.append(ha_told.ask(host))]),
    )
    return [
        _row(cluster, name, entry, seen[name], told[0].services.get(name))
        for name, entry in sorted(managed.entries_of(cluster).items())
        if name in seen
    ]


def _side_by_side(*works: Callable[[], object]) -> None:
    """Do several things at once, each as this thread would; raise the first error of them."""
    errors: list[McvError] = []

    def do(work: Callable[[], object]) -> None:
        try:
            work()
        except McvError as error:
            errors.append(error)

    threads = [
        threading.Thread(target=contextvars.copy_context().run, args=(do, work), daemon=True)
        for work in works
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


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


def _row(cluster: Cluster, name: str, entry: HaEntry, seen: Seen, told: ToldOf | None) -> HaRow:
    attention = _attention(name, entry) or seen.attention
    if told is not None and told.attention and attention is None:
        attention = told.reason
    return HaRow(
        name=name,
        kind="service" if name in cluster.services else "vm",
        wanted=entry.wanted,
        state=told.state if told else _state(cluster, entry, seen),
        node=seen.node,
        home=seen.home,
        domain=entry.domain,
        restarts=told.restarts if told else None,
        relocates=told.relocates if told else None,
        reason=told.reason if told else _reason(cluster, entry, seen),
        attention=attention,
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
