"""mcv fence device: what hosts are switched off by, and what it is reached with."""

import secrets as random
from typing import Any

import msgspec
from msgspec import Struct

from mcv.cluster.fence_keeping import FenceLook
from mcv.document.fence_changes import nodes_on, require_device
from mcv.document.fencing import FenceDevice
from mcv.document.model import Cluster
from mcv.document.names import problem_with_name
from mcv.document.schema import older_member
from mcv.drivers.fence_agents import NAME, TIMEOUTS
from mcv.errors import McvError, Refused, refuse_all
from mcv.host import DryRun, Host
from mcv.system.answers import ask_typed

LOOK = TIMEOUTS["metadata"] + TIMEOUTS["monitor"] + 5.0  # s
SEEN = 1.5  # s

Values = dict[str, str]


class FenceDeviceView(Struct, frozen=True, kw_only=True):
    """A device without its secrets. `ok`: None before anybody has asked it.

    `unreached` says by node why its agent cannot ask the device.
    """

    name: str
    agent: str
    parameters: dict[str, str]
    nodes: list[str]
    ok: bool | None
    secrets: list[str] = []
    unreached: dict[str, str] = {}


class FenceMonitors(Struct, frozen=True, kw_only=True):
    """What a node knows of each device it has asked: why it does not answer, "" where it does."""

    failures: dict[str, str]


def monitors(host: Host) -> FenceMonitors:
    """Tell another node what this one has seen of devices."""
    seen = dict(host.fences.monitored)
    return FenceMonitors(failures={name: each.failure for name, each in seen.items()})


def listed(host: Host) -> list[FenceDeviceView]:
    """Every device, and whether the nodes that may have to ask it can."""
    cluster = host.read()
    answers = ask_typed(host.call, cluster.online, "fence.monitors", SEEN, FenceMonitors)
    told = {
        node: answer.failures
        for node, answer in answers.items()
        if not isinstance(answer, McvError)
    }
    return [_seen(cluster, name, told) for name in sorted(cluster.fence_devices)]


def _seen(cluster: Cluster, name: str, told: dict[str, Values]) -> FenceDeviceView:
    by_node = {node: failures[name] for node, failures in told.items() if name in failures}
    failures = {node: why for node, why in by_node.items() if why}
    return _view(cluster, name, failures, None if not by_node else not failures)


def _view(
    cluster: Cluster, name: str, unreached: dict[str, str], ok: bool | None
) -> FenceDeviceView:
    device = require_device(cluster, name)
    return FenceDeviceView(
        name=name,
        agent=device.agent,
        parameters=dict(device.parameters),
        nodes=nodes_on(cluster, name),
        ok=ok,
        secrets=list(device.secrets),
        unreached=unreached,
    )


# Add, set, remove


def add(
    host: Host,
    name: str,
    agent: str,
    parameters: Values,
    secrets: Values,
    dry_run: bool = False,
) -> FenceDeviceView | DryRun:
    """Write a device down that at least one node can ask; its secrets go to every node first.

    Refused with everything that its agent's metadata speak against.
    """
    cluster = host.read()
    problems = list(filter(None, [problem_with_name(name, "fence device")]))
    if name in cluster.fence_devices:
        hint = f"mcv fence device set {name}; see: mcv fence device list"
        problems.append(Refused(f"There is a fence device {name} already.", hint))
    if not NAME.fullmatch(agent):
        problems.append(
            Refused(f"{agent!r} is no name of a fence agent.", "It is fence_ and a-z 0-9 _.")
        )
    refuse_all(problems)
    return _write(host, name, _device(agent, parameters, secrets), secrets, True, dry_run)


def set_(
    host: Host, name: str, parameters: Values, secrets: Values, dry_run: bool = False
) -> FenceDeviceView | DryRun:
    """Reach a device in another way: what is not named stays, an empty value takes one away.

    Its plugs are to be tested anew, unless secrets alone change.
    """
    device = require_device(host.read(), name)
    kept = host.fences.secrets.read(name, device.secret_id) if device.secrets else {}
    if kept is None and set(device.secrets) - set(secrets):
        raise Refused(f"{host.name} does not have the secrets of {name}.", "Name all of them anew.")
    taken_away = {key for key, value in parameters.items() if not value}
    now = {**device.parameters, **parameters}
    wanted = {key: value for key, value in now.items() if key not in taken_away}
    together = {**(kept or {}), **secrets}
    words = {key: value for key, value in together.items() if key not in taken_away}
    return _write(host, name, _device(device.agent, wanted, words), words, False, dry_run)


def _device(agent: str, parameters: Values, secrets: Values) -> FenceDevice:
    values = {
        "agent": agent,
        "parameters": parameters,
        "secrets": sorted(secrets),
        "secret_id": random.token_hex(8) if secrets else "",
    }
    try:
        return msgspec.convert(values, FenceDevice)
    except msgspec.ValidationError as error:
        raise Refused(f"This is no fence device: {error}.") from error


def _write(
    host: Host, name: str, device: FenceDevice, secrets: Values, new: bool, dry_run: bool
) -> FenceDeviceView | DryRun:
    if host.read().schema < 6:
        raise older_member("There can be no fence devices")
    host.consensus.require_contact()
    unreached = _looked_at(host, name, device, secrets, keep=not dry_run)
    if dry_run:
        instance = host.fences.secrets.given(name, device, secrets)
        told = host.fences.agents.stdin(instance, "monitor", masked=True).splitlines()
        return DryRun(plan=[f"{device.agent} is told: {' '.join(told)}", *_in_words(unreached)])
    why = f"fence device {'add' if new else 'set'} {name}"
    values = msgspec.to_builtins(device)
    cluster = host.update("fence.device", why, name=name, device=values, new=new)
    return _view(cluster, name, unreached, not unreached)


def _in_words(unreached: dict[str, str]) -> list[str]:
    return [f"{node} cannot ask it: {why}" for node, why in unreached.items()]


def _looked_at(
    host: Host, name: str, device: FenceDevice, secrets: Values, keep: bool
) -> dict[str, str]:
    """Why nodes cannot ask it; Refused where none can, or an agent speaks against it."""
    host.job.progress(f"every node asks {name}")
    params: dict[str, Any] = {"device": msgspec.to_builtins(device), "secrets": secrets}
    answers = ask_typed(
        host.call, host.read().online, "fence.look", LOOK, FenceLook, name=name, keep=keep, **params
    )
    said: dict[tuple[str, str], list[str]] = {}
    unreached = {}
    for node, answer in sorted(answers.items()):
        if isinstance(answer, McvError):
            unreached[node] = answer.message
            continue
        for problem in answer.problems:
            said.setdefault(problem, []).append(node)
        if answer.failure:
            unreached[node] = answer.failure
    refuse_all([_problem(problem, nodes, len(answers)) for problem, nodes in said.items()])
    if set(unreached) == set(answers):
        refuse_all(
            [
                Refused(f"No node can ask {name}.", "Look at its address, name and password."),
                *(Refused(line) for line in _in_words(unreached)),
            ]
        )
    return unreached


def _problem(problem: tuple[str, str], nodes: list[str], of: int) -> Refused:
    message, hint = problem
    return Refused(message if len(nodes) == of else f"{' and '.join(nodes)}: {message}", hint)


class FenceDeviceGone(Struct, frozen=True, kw_only=True):
    """A device that is no more; its secrets go from every node."""

    removed: str


def remove(host: Host, name: str) -> FenceDeviceGone:
    """Take a device away that no node hangs on."""
    require_device(host.read(), name)
    host.update("fence.device_gone", f"fence device remove {name}", name=name)
    return FenceDeviceGone(removed=name)
