"""mcv ha service create, refresh and delete: what the document says of a service."""

import ipaddress
from collections.abc import Collection
from typing import Any, get_args

import msgspec

from mcv.document.ha_entries import Recovery, ScriptPath, Unit
from mcv.document.model import Cluster
from mcv.document.names import problem_with_name
from mcv.document.service_changes import ip_of, service_of
from mcv.document.subject import Subject
from mcv.errors import McvError, NotFound, Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.service import fitting, power
from mcv.service.answers import ServiceGone, ServiceMade, ServiceState
from mcv.transaction.plan import Item, Step, change

MOST_SLEEP = 3600  # s
HINTS = {
    "unit": "A unit is a service of systemd: NAME or NAME.service.",
    "script": "A script is a whole path, without .., of letters, digits and _+.:@-",
}


def create(
    host: Host,
    name: str,
    address: str,
    bridge: str,
    units: list[str] | None = None,
    scripts: list[str] | None = None,
    domain: str = "",
    recovery: str = "restart",
    monitor_link: bool = True,
    sleeptime: int = 0,
) -> ServiceMade:
    """Make a service; nothing of it runs yet.

    Each node of its domain, or each one where it has none, has the bridge, every unit, none of
    them enabled, and the same scripts, which are root's alone. Raises Refused with all that is not
    so. A node that is offline is looked at before the service starts there.
    """
    units = [unit if "." in unit else f"{unit}.service" for unit in units or []]
    scripts = list(scripts or [])
    cluster = host.read()
    problems = _why_not(cluster, name, address, units, scripts)
    problems += _why_not_how(cluster, domain, recovery, sleeptime)
    refuse_all(problems)
    nodes = _nodes(cluster, domain)
    online = [node for node in nodes if node in cluster.online]
    if not online:
        raise Refused(f"No node of {domain} is online: {', '.join(nodes)}.")
    answers = fitting.ask(host, online, bridge, units, scripts, address)
    digests, problems = fitting.digests(answers, scripts)
    refuse_all(problems)
    owner = _first(cluster, online, domain, host.name)
    service = {
        "name": name,
        "address": address,
        "bridge": bridge,
        "units": units,
        "scripts": [{"path": path, "digest": digests[path]} for path in scripts],
        "monitor_link": monitor_link,
        "sleeptime": sleeptime,
        "node": owner,
    }
    entry = {"domain": domain, "recovery": recovery}
    host.update("service.add", f"ha service create {name}", service=service, entry=entry)
    return ServiceMade(
        name=name,
        node=owner,
        address=address,
        bridge=bridge,
        units=units,
        scripts=scripts,
        domain=domain,
        notes=_notes(cluster, sorted(set(nodes) - set(online))),
    )


def _nodes(cluster: Cluster, domain: str) -> list[str]:
    """The nodes that a service in a domain, "" for none, is looked at on."""
    return sorted(cluster.domains[domain].nodes if domain else cluster.nodes)


def _first(cluster: Cluster, online: Collection[str], domain: str, here: str) -> str:
    """The node that owns a new service: the best one of its domain, or this one."""
    known = cluster.domains.get(domain)
    if known is not None and known.ordered:
        return min(online, key=lambda node: (known.nodes[node], node != here, node))
    return here if here in online else min(online)


def _notes(cluster: Cluster, away: list[str]) -> list[str]:
    notes = [
        f"{node} is offline: what it has of the service is looked at before a start there."
        for node in away
    ]
    if not cluster.ha.armed:
        notes.append("The cluster is not armed: nothing is done by itself. mcv ha arm")
    return notes


def _why_not(
    cluster: Cluster, name: str, address: str, units: list[str], scripts: list[str]
) -> list[Refused]:
    problems: list[Refused] = []
    if problem := problem_with_name(name, "service"):
        problems.append(problem)
    elif name in cluster.vms:
        problems.append(Refused(f"There is a VM {name} already.", "See: mcv list"))
    elif name in cluster.services:
        problems.append(Refused(f"There is a service {name} already.", "See: mcv ha list"))
    problems += _why_not_address(cluster, address)
    for what, given, kind in (("unit", units, Unit), ("script", scripts, ScriptPath)):
        for one in dict.fromkeys(given):
            if given.count(one) > 1:
                problems.append(Refused(f"The {what} {one} is named twice."))
            if not _fits(one, kind):
                problems.append(Refused(f"{one!r} is no {what}.", HINTS[what]))
    for other, service in sorted(cluster.services.items()):
        for unit in sorted({*service.units} & {*units}):
            problems.append(Refused(f"{unit} belongs to the service {other}."))
    return problems


def _fits(text: str, kind: Any) -> bool:
    try:
        msgspec.convert(text, kind)
    except msgspec.ValidationError:
        return False
    return True


def _why_not_address(cluster: Cluster, address: str) -> list[Refused]:
    try:
        if "/" not in address:
            raise ValueError
        interface = ipaddress.IPv4Interface(address)
    except ValueError:
        message = f"{address!r} is no IPv4 address with the length of its network."
        return [Refused(message, "As in: --address 192.0.2.80/24")]
    ip, network = interface.ip, interface.network
    problems = []
    is_edge = network.prefixlen < 31 and ip in (network.network_address, network.broadcast_address)
    if ip.is_multicast or ip.is_loopback or ip.is_unspecified or is_edge:
        problems.append(Refused(f"{address} is no address of a host."))
    for name, service in sorted(cluster.services.items()):
        if ip_of(service.address) == str(ip):
            problems.append(Refused(f"{ip} is the address of {name}.", "See: mcv ha list"))
    for name, node in sorted(cluster.nodes.items()):
        if str(ip) in (node.ip_address, node.drbd_address):
            problems.append(Refused(f"{ip} is the address of {name}."))
    return problems


def _why_not_how(cluster: Cluster, domain: str, recovery: str, sleeptime: int) -> list[Refused]:
    problems: list[Refused] = []
    if domain and domain not in cluster.domains:
        hint = "See: mcv ha domain list"
        problems.append(NotFound(f"There is no failover domain {domain}.", hint))
    words = get_args(Recovery)
    if recovery not in words:
        *others, last = words
        message = f"--recovery is {', '.join(others)} or {last}, not {recovery!r}."
        problems.append(Refused(message))
    if not 0 <= sleeptime <= MOST_SLEEP:
        problems.append(Refused(f"--sleeptime is 0 to {MOST_SLEEP} seconds, not {sleeptime}."))
    return problems


def refresh(host: Host, name: str) -> ServiceState:
    """Take a service's scripts as they are now, the same on every node of its domain."""
    why = f"ha service refresh {name}"
    with host.claim(Subject.service(name), why):
        cluster = host.read()
        service = service_of(cluster, name)
        online = [node for node in _nodes(cluster, service.entry.domain) if node in cluster.online]
        paths = [script.path for script in service.scripts]
        answers = fitting.ask(host, online, service.bridge, service.units, paths)
        digests, problems = fitting.digests(answers, paths)
        refuse_all(problems)
        scripts = [{"path": path, "digest": digests[path]} for path in paths]
        host.update("service.scripts", why, name=name, scripts=scripts)
    return power.state_of(host, name)


def delete(host: Host, name: str, dry_run: bool = False) -> ServiceGone | DryRun:
    """Forget a service of which nothing runs. Raises Refused while it runs, or is to run."""

    def prepare() -> Prepared[ServiceGone]:
        _require_deletable(host, name)
        plan: list[Item] = [Step(change("service.gone", name=name), commits=True)]
        return Prepared(plan, ServiceGone(name=name))

    return host.operate(Subject.service(name), f"ha service delete {name}", prepare, dry_run)


def _require_deletable(host: Host, name: str) -> None:
    cluster = host.read()
    service = service_of(cluster, name)
    problems: list[Refused] = []
    hint = f"First: mcv ha service stop {name}"
    if service.node in cluster.online:
        try:
            seen = power.ask_owner(host, service)
            if seen.state != "stopped":
                problems.append(Refused(f"{name} is {seen.state} on {service.node}.", hint))
        except McvError as error:
            problems.append(Refused(error.message, error.hint))
    if service.entry.wanted == "started":
        problems.append(Refused(f"{name} is to run.", hint))
    refuse_all(problems)
