"""What there is to see: the cluster, the VMs, one VM."""

from typing import Any

import click

from mcv.commands import nic, output
from mcv.commands.completion import nodes, vms, words
from mcv.commands.options import common
from mcv.commands.session import Session

STATES = "running|stopped|paused|crashed|saved|unknown"
NAMED = 5  # VMs that are named where more may be meant


@click.command()
@click.argument("name", metavar="[VM]", required=False, shell_complete=vms)
@common(changes=False)
@click.pass_obj
def info(session: Session, name: str | None) -> None:
    """Show the cluster and its nodes, or all about one VM.

    Under "attention" and "findings" stands what needs somebody, with the command that helps.

    \b
    Examples:
      mcv info
      mcv info web1
    """
    if name is None:
        cluster = session.call("cluster.info")
        session.show(cluster, lambda: cluster_text(cluster))
    else:
        vm = session.call("vm.info", name=name)
        session.show(vm, lambda: vm_text(vm))


@click.command("list")
@click.option(
    "--tag",
    "tags",
    metavar="T",
    multiple=True,
    help="Only those with the tag; may be repeated: with all of them.",
)
@click.option(
    "--node", metavar="N", shell_complete=nodes, help="Only those that belong to the node."
)
@click.option(
    "--state",
    metavar="S",
    shell_complete=words(STATES),
    help="Only those that are running, stopped, paused, crashed, saved or unknown.",
)
@click.option("--inventory", "as_inventory", is_flag=True, help="Print an inventory for Ansible.")
@common(changes=False)
@click.pass_obj
def list_(
    session: Session,
    tags: tuple[str, ...],
    node: str | None,
    state: str | None,
    as_inventory: bool,
) -> None:
    """List the VMs: state, owner, size, and what needs attention.

    Filters go together: what is listed passes all of them. An inventory is JSON: a host for each
    VM, in groups by tag, node and state. A script of these two lines is an inventory of Ansible's:
    "#!/bin/sh", "exec sudo mcv list --inventory".

    \b
    Examples:
      mcv list
      mcv list --tag prod --node n1 --state running
    """
    asked = {"tags": list(tags) or None, "node": node, "state": state}
    wanted = {key: value for key, value in asked.items() if value is not None}
    vms = session.call("vm.list", **wanted)
    if as_inventory:
        from mcv.commands.inventory import inventory

        session.say(output.as_json(inventory(vms)))
        return
    none = "There is no such VM." if wanted else "There is no VM."
    session.show(vms, lambda: list_text(vms) if vms else none)


def list_text(vms: list[dict[str, Any]]) -> str:
    """A row for each VM; the column of tags only where a VM has one."""
    has_tags = any(vm.get("tags") for vm in vms)
    rows = [
        (
            vm["name"],
            vm["state"],
            vm["node"],
            output.size(vm["memory"]),
            vm["cpus"],
            vm["storage"],
            "locked" if vm["locked"] else "",
            *([",".join(vm["tags"])] if has_tags else []),
            vm["attention"],
        )
        for vm in vms
    ]
    headings = ("name", "state", "node", "memory", "cpus", "storage", "flags")
    return output.table(rows, (*headings, *(["tags"] if has_tags else []), "attention"))


def cluster_text(cluster: dict[str, Any]) -> str:
    """The cluster for human eyes; "*" marks this node."""
    rows = [
        (
            f"{node['name']}{'*' if node['local'] else ''}",
            node["ip_address"],
            node["drbd_address"],
            node["status"],
            node["version"],
        )
        for node in cluster["nodes"]
    ]
    head = output.fields(
        {
            "cluster": cluster["cluster"] or "none: this node is alone",
            "document": f"epoch {cluster['epoch']}, generation {cluster['generation']}",
            "vms": cluster["vms"],
            "verified": verified_text(cluster.get("verify")),
        }
    )
    headings = ("node", "ip address", "drbd address", "status", "version")
    nodes = output.table(rows, headings)
    return "\n\n".join([head, nodes, *room_text(cluster), *attention_text(cluster["attention"])])


def room_text(cluster: dict[str, Any]) -> list[str]:
    """Memory and room of each node, a row for each pool: a wide cluster makes a long table."""
    rows = [
        (node["name"], what, *(output.size(share[key]) for key in ("total", "free", "spoken_for")))
        for node in cluster["nodes"]
        for what, share in (("memory", node.get("memory")), *(node.get("room") or {}).items())
        if share
    ]
    return [output.table(rows, ("node", "room", "total", "free", "spoken for"))] if rows else []


def verified_text(verify: dict[str, Any] | None) -> str | None:
    """What the last verifications said and how old they are; None where there is none to tell."""
    if not verify or not (verify["clean"] or verify["others"]):
        return None
    words = []
    if verify["clean"]:
        words.append(f"{verify['clean']} clean (the oldest {output.age(verify['oldest'])} ago)")
    for result in sorted(set(verify["others"].values())):
        names = [name for name, other in verify["others"].items() if other == result]
        words.append(f"{result}: {', '.join(names[:NAMED])}{' …' * (len(names) > NAMED)}")
    return "; ".join(words)


def attention_text(lines: list[str]) -> list[str]:
    return [output.listed(["attention:", *(f"  {line}" for line in lines)])] if lines else []


def vm_text(vm: dict[str, Any]) -> str:
    """One VM for human eyes."""
    is_replicated = any(disk["drbd"] for disk in vm["disks"])
    head = output.fields(
        {
            "name": vm["name"],
            "state": vm["state"],
            "node": vm["node"],
            "home": vm.get("home") if vm.get("home") != vm["node"] else None,
            "may run on": ", ".join(vm["nodes"]),
            "memory": output.size(vm["memory"]),
            "cpus": vm["cpus"],
            "storage": vm["storage"],
            "locked": locked_text(vm),
            "autostart": autostart_text(vm),
            "description": vm.get("description") or None,
            "tags": ", ".join(vm.get("tags") or ()) or None,
            "protected": "yes" if vm.get("protected") else None,
            **machine_fields(vm),
            "uuid": vm["uuid"],
            "cd": vm.get("cd"),
            "devices": _devices(vm.get("devices") or []),
            "overlay": f"mcv edit {vm['name']} --show" if vm.get("overlay") else None,
            "vnc": vm["vnc"],
            "guest agent": vm.get("agent"),
            "verification": verification_text(vm["verify"]) if is_replicated else None,
        }
    )
    parts = [head]
    if vm["disks"]:
        parts.append(disks_table(vm["disks"]))
    if vm["networks"]:
        rows = [nic.row(card) for card in vm["networks"]]
        parts.append(output.table(rows, nic.HEADINGS))
    if vm.get("pending"):
        parts.append("\n".join(["pending until its next start:", *_indented(vm["pending"])]))
    if vm["findings"]:
        parts.append(
            "\n".join(["findings:", *(finding_text(finding) for finding in vm["findings"])])
        )
    return "\n\n".join(parts)


def machine_fields(vm: dict[str, Any]) -> dict[str, str | None]:
    """What of the machine is not as usual."""
    fields: dict[str, str | None] = {
        key.replace("_", " "): vm.get(key) or None
        for key in ("cpu_model", "watchdog", "video", "keyboard", "clock")
    }
    if limit := vm.get("cpu_limit"):
        fields["cpu limit"] = f"{limit} % of one CPU"
    return fields


def _devices(devices: list[dict[str, Any]]) -> str | None:
    """The devices of its host that a VM has, in words."""
    words = [f"{each['type']} {each['address']} of {each['node']}" for each in devices]
    return ", ".join(words) or None


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def finding_text(finding: dict[str, Any]) -> str:
    """A finding on a line, and below it what to do next."""
    hint = [f"      Next: {finding['hint']}"] if finding["hint"] else []
    return output.listed([f"  {finding['severity']}: {finding['message']}", *hint])


def autostart_text(vm: dict[str, Any]) -> str | None:
    """Whether a VM starts with its node, and its place among the VMs that do.

    None where an mcvd that was not restarted since an update does not tell.
    """
    if vm.get("autostart") is None:
        return None
    words = [str(vm["autostart"])]
    if vm.get("start_order"):
        words.append(f"start order {vm['start_order']}")
    if vm.get("start_delay"):
        words.append(f"{vm['start_delay']} s before the next")
    return ", ".join(words)


def locked_text(vm: dict[str, Any]) -> str | None:
    """Who holds a VM: an operation, an administrator, or both; None where nobody does."""
    if not vm["locked"]:
        return None
    holders = []
    claim = vm.get("claim")
    if claim:
        holders.append(f"by {claim['why']} on {claim['node']} since {claim['since']}")
    if vm.get("administrators_lock", not claim):
        holders.append(f"by an administrator (mcv unlock {vm['name']})")
    return ", ".join(holders)


def verification_text(verify: dict[str, Any]) -> str:
    """What the last verification said, and how long ago that was."""
    words = ["under way" if verify.get("under_way") else verify["result"]]
    if verify["when"] and not verify.get("under_way"):
        who = f" by {verify['who']}" if verify.get("who") else ""
        words.append(f"{output.age(verify['when'])} ago{who}")
    if verify["out_of_sync"]:
        words.append(f"{output.size(verify['out_of_sync'])} out of sync")
    if verify["blocked"]:
        words.append("start and migration are blocked")
    if override := verify.get("override"):
        ago = output.age(override["when"])
        words.append(f"overridden by {override['who']} {ago} ago ({override['what']})")
    return ", ".join(words)


def disks_table(disks: list[dict[str, Any]]) -> str:
    """The disks of a VM; DRBD's columns only where DRBD replicates a disk."""
    headings: tuple[str, ...] = ("disk", "target", "size", "storage", "path")
    rows = [
        (disk["id"], disk["target"], output.size(disk["size"]), disk["storage"], disk["path"])
        for disk in disks
    ]
    if not any(disk["drbd"] for disk in disks):
        return output.table(rows, headings)
    headings += ("connection", "roles", "disks", "done")
    pairs = zip(rows, disks, strict=True)
    return output.table([(*row, *replication_cells(disk["drbd"])) for row, disk in pairs], headings)


def replication_cells(drbd: dict[str, Any] | None) -> tuple[str | None, ...]:
    """What DRBD says of a disk; nothing of a disk that is not replicated."""
    if drbd is None:
        return (None,) * 4
    return (
        drbd["connection"],
        f"{drbd['role']}/{drbd['peer_role']}",
        f"{drbd['disk']}/{drbd['peer_disk']}",
        output.percent(drbd.get("done")),
    )
