"""Whether a node can run a service: its bridge, units and scripts, as they are there."""

from collections.abc import Sequence

from mcv.document.ha_entries import Service
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.service.answers import NodeFit
from mcv.system.answers import ask_typed

LOOK = 20.0  # s that a node has to look at bridge, units and scripts

Answers = dict[str, NodeFit | McvError]


def fit(
    host: Host, bridge: str, units: list[str], scripts: list[str], address: str = ""
) -> NodeFit:
    """Tell another node what forbids a service here, and what its scripts are.

    With an `address`: also whether this host has it as its own.
    """
    problems = []
    if address and (device := host.services.address.where(address)):
        problems.append(f"{address} is an address of {host.name} itself, on {device}.")
    if not host.bridges.exists(bridge):
        problems.append(f"{host.name} has no bridge {bridge}.")
    for unit in units:
        problems += why_not_unit(host, unit)
    digests = {}
    for path in scripts:
        try:
            if why := host.services.programs.why_not(path):
                problems.append(f"{host.name}: {why}.")
            else:
                digests[path] = host.services.programs.digest(path)
        except McvError as error:
            problems.append(f"{host.name}: {error.message}")
    return NodeFit(problems=problems, digests=digests)


def why_not_unit(host: Host, unit: str) -> list[str]:
    """A unit is there, and does not start by itself: it would run on two nodes."""
    try:
        state = host.services.units.state(unit)
    except McvError as error:
        return [f"{host.name}: {error.message}"]
    if not state.is_there:
        return [f"{host.name} has no unit {unit} ({state.load or 'not known to systemd'})."]
    if state.is_enabled:
        return [
            f"{unit} is enabled on {host.name}, so it would run there with every boot; there: "
            f"systemctl disable --now {unit}"
        ]
    return []


def ask(
    host: Host,
    nodes: Sequence[str],
    bridge: str,
    units: Sequence[str],
    scripts: Sequence[str],
    address: str = "",
) -> Answers:
    """What each node answers."""
    params = {"bridge": bridge, "units": list(units), "scripts": list(scripts), "address": address}
    return ask_typed(host.call, nodes, "service.fit", LOOK, NodeFit, **params)


def digests(answers: Answers, scripts: Sequence[str]) -> tuple[dict[str, str], list[Refused]]:
    """The one digest of each script, and all that is wrong with the answers of the nodes."""
    problems: list[Refused] = []
    for answer in answers.values():
        if isinstance(answer, McvError):
            problems.append(Refused(answer.message, answer.hint))
        else:
            problems += [Refused(text) for text in answer.problems]
    one: dict[str, str] = {}
    for path in scripts:
        found: dict[str, list[str]] = {}
        for node, answer in sorted(answers.items()):
            if isinstance(answer, NodeFit) and path in answer.digests:
                found.setdefault(answer.digests[path], []).append(node)
        if len(found) > 1:
            said = ", another one on ".join(" and ".join(nodes) for nodes in found.values())
            problems.append(Refused(f"{path} is one script on {said}.", "Copy one of them over."))
        elif found:
            one[path] = next(iter(found))
    return one, problems


def why_changed(service: Service, node: str, digests: dict[str, str]) -> list[Refused]:
    """The scripts that a node has otherwise than the document."""
    return [
        Refused(
            f"{script.path} on {node} is not what it was when it was looked at.",
            f"If it is right so, on every node: mcv ha service refresh {service.name}",
        )
        for script in service.scripts
        if digests.get(script.path, script.digest) != script.digest
    ]


def why_not_here(host: Host, service: Service) -> list[Refused]:
    """What forbids to start a service on this host now, but for another holder of its address."""
    paths = [script.path for script in service.scripts]
    found = fit(host, service.bridge, list(service.units), paths)
    problems = [Refused(text) for text in found.problems]
    problems += why_changed(service, host.name, found.digests)
    address = host.services.address
    if host.bridges.exists(service.bridge):
        if not address.is_up(service.bridge):
            problems.append(Refused(f"{service.bridge} is down on {host.name}."))
        elif service.monitor_link and not address.has_link(service.bridge):
            problems.append(Refused(f"{service.bridge} has no link on {host.name}."))
    return problems
