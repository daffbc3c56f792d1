"""What of the cluster needs somebody, a line each, with the command that helps."""

from typing import Any

from mcv.errors import McvError, NotMember, NotThatNode
from mcv.host import Host
from mcv.rules import split_brain
from mcv.status.vms import report


def attention(host: Host, answers: dict[str, Any]) -> list[str]:
    """The lines of `mcv info`: jobs cut off, repairs, silent peers, this node's own troubles."""
    found = []
    cluster = host.read()
    if not host.settings.address:
        found.append(
            f"{host.name} has no cluster address: its host name resolves to none but loopback; "
            "set address in /etc/mcv/mcv.conf"
        )
    if not host.consensus.in_contact:
        found.append(f"{host.name} is not in contact with the cluster: it starts no VM until it is")
    found += [
        f"{name} holds another document than {host.name}: see mcv cluster check, "
        "settle it with mcv cluster sync --from NODE"
        for name in sorted(host.consensus.diverged)
    ]
    for name, answer in sorted(answers.items()):
        if name not in cluster.nodes:
            continue  # removed while it was asked
        if isinstance(answer, NotMember) and cluster.nodes[name].status == "online":
            found.append(f"{name} says that {host.name} is no member any more: mcv cluster leave")
        elif isinstance(answer, NotThatNode):
            found.append(
                f"what answers at the address of {name} has another key: was it installed anew? "
                f"mcv node offline {name} --confirm-dead, then "
                f"mcv cluster remove-node --node {name} --force, then add it again"
            )
        elif isinstance(answer, McvError):
            if cluster.nodes[name].status == "online":
                found.append(
                    f"{name} does not answer, so nothing can be changed until it is back, or: "
                    f"mcv node offline {name} --confirm-dead"
                )
        else:
            found += [str(line) for line in answer["trouble"]]
            found += [_left(name, left) for left in answer["left"]]

    mine = report(host)
    found += [str(line) for line in mine["trouble"]]
    found += [_left(host.name, left) for left in mine["left"]]
    told = {name: one for name, one in answers.items() if not isinstance(one, McvError)}
    return found + _split_brains(host, {**told, host.name: mine})


def _split_brains(host: Host, told: dict[str, Any]) -> list[str]:
    """What no command but one ends; all else about a VM is in its own line of `mcv list`."""
    seen = {node: one["resources"] for node, one in told.items()}
    split_brain.complete(host, seen)
    found = []
    for vm, disk in host.read().disks():
        sides = {node: seen.get(node, {}).get(disk.resource) for node in disk.volume_groups}
        if parted := split_brain.of(sides):
            found.append(split_brain.complaint(vm, parted))
    return list(dict.fromkeys(found))


def _left(node: str, left: dict[str, Any]) -> str:
    why = f" ({left['trouble']})" if left["trouble"] else ""
    return f"{left['title']} is unfinished on {node}{why}: mcv repair"
