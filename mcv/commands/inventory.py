"""The VMs as an inventory for Ansible: a host for each, in groups by tag, node and state."""

from collections.abc import Iterable, Mapping
from typing import Any

VARIABLES = ("state", "node", "nodes", "memory", "cpus", "storage", "tags", "autostart")


def inventory(vms: Iterable[Mapping[str, Any]]) -> dict[str, object]:
    """What a script of Ansible's inventory prints for --list.

    A host has its VM's name; what is known of the VM are variables that begin with mcv_.
    """
    hosts: dict[str, dict[str, Any]] = {}
    groups: dict[str, list[str]] = {}
    for vm in vms:
        hosts[vm["name"]] = {f"mcv_{key}": vm[key] for key in VARIABLES if key in vm}
        for kind, values in (
            ("tag", vm.get("tags") or ()),
            ("node", (vm["node"],)),
            ("state", (vm["state"],)),
        ):
            for value in values:
                groups.setdefault(group(kind, value), []).append(vm["name"])
    return {
        "_meta": {"hostvars": hosts},
        "all": {"hosts": sorted(hosts), "children": sorted(groups)},
        **{name: {"hosts": sorted(members)} for name, members in sorted(groups.items())},
    }


def group(kind: str, value: str) -> str:
    """The name of a group: of letters, digits and underscores alone, as Ansible wants it."""
    return f"{kind}_" + "".join(
        char if char.isalnum() and char.isascii() else "_" for char in value
    )
