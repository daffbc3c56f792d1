"""Networks: names for bridges that exist on every node."""

import re
from typing import Any

from mcv.document.model import problem_with_name
from mcv.errors import McvError, Refused, refuse_all
from mcv.host import Host
from mcv.system.fanout import ask_all

BRIDGE = re.compile(r"[A-Za-z0-9_.-]{1,15}")


def create(host: Host, name: str, bridge: str) -> dict[str, Any]:
    """Name a bridge; Refused, with every reason, where a node has none of that name."""
    cluster = host.read()
    problems: list[Refused] = []
    problem = problem_with_name(name, "network")
    if problem:
        problems.append(problem)
    elif name in cluster.networks:
        problems.append(Refused(f"There is a network {name} already.", "See: mcv network list"))
    if not BRIDGE.fullmatch(bridge):
        problems.append(Refused(f"{bridge!r} is no name for a bridge."))
    else:
        for node, answer in ask_all(host.call, cluster.online, "node.bridges", 5.0).items():
            if isinstance(answer, McvError):
                problems.append(Refused(f"{node} is needed: {answer.message}", answer.hint))
            elif bridge not in answer:
                have = f"It has: {', '.join(answer)}." if answer else "It has none."
                problems.append(Refused(f"{node} has no bridge {bridge}.", have))
    refuse_all(problems)
    host.update("network.add", f"network create {name}", name=name, bridge=bridge)
    return {"name": name, "bridge": bridge}


def delete(host: Host, name: str) -> dict[str, Any]:
    host.update("network.remove", f"network delete {name}", name=name)
    return {"name": name}


def list_(host: Host) -> list[dict[str, Any]]:
    cluster = host.read()
    return [
        {
            "name": name,
            "bridge": network.bridge,
            "vms": sum(any(nic.network == name for nic in vm.nics) for vm in cluster.vms.values()),
        }
        for name, network in sorted(cluster.networks.items())
    ]


def bridges(host: Host) -> list[str]:
    return host.bridges.list()
