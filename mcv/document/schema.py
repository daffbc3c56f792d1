"""Schemas of the document: what each later schema added, and who reads what.

A document keeps the schema that it was written in, and its hash with it, until every online
member reads a later one; then the change `document.schema` raises it. The structs of
mcv/document/model.py are those of the newest schema: a field that came later has a default,
which is what a document of an older schema means by not having it.
"""

import json
from typing import Any, Protocol

from mcv.errors import Refused

Raw = dict[str, Any]


class Document(Protocol):
    """A document, which knows its schema."""

    @property
    def schema(self) -> int: ...


SCHEMA = 6
OLDEST = 1

# Of schema 2: the fields that each struct got. Reading needs nothing of it; writing leaves
# them out of a document of schema 1.
OF_EACH_VM = ("autostart", "start_order", "start_delay", "incarnation")
OF_DRBD = ("secret_id",)
OF_THE_CHANGE = ("name", "params", "signature")

# Of schema 3.
OF_THE_CLUSTER_3 = ("pools", "images", "cpu_baseline")
OF_EACH_NETWORK_3 = ("nat",)
OF_EACH_VM_3 = ("last_disk", "machine", "firmware", "boot", "cpu", "cd", "append")
OF_EACH_DISK_3 = (
    *("pool", "format", "role", "bus", "cache", "discard", "iops", "bandwidth", "leaving", "keep"),
    *("exact", "mirror_of", "former", "former_port"),
)

# Of schema 4.
OF_EACH_NODE_4 = ("draining",)
OF_EACH_NETWORK_4 = ("vlan", "mtu", "on")
OF_PERMISSIONS_4 = ("grants",)
OF_EACH_NIC_4 = ("model", "vlan", "link")
OF_EACH_VM_4 = (
    *("home", "description", "tags", "protected", "cpu_limit", "watchdog", "video", "keyboard"),
    *("clock", "devices", "overlay"),
)

# Of schema 5.
OF_THE_CLUSTER_5 = ("store", "witness", "ha")
OF_EACH_NODE_5 = ("etcd_certificate", "watchdog", "evidence")

# Of schema 6.
OF_THE_CLUSTER_6 = ("ha_vms", "services", "domains", "ties", "fence_devices")
OF_EACH_NODE_6 = ("levels", "macs")


def older(raw: Raw, schema: int) -> Raw:
    """A document of the newest schema, as plain values, without what came after `schema`."""
    if schema < 6:
        raw = _without(raw, OF_THE_CLUSTER_6)
        raw["nodes"] = {name: node_of_schema_5(node) for name, node in raw["nodes"].items()}
    if schema < 5:
        raw = _without(raw, OF_THE_CLUSTER_5)
        raw["nodes"] = {name: node_of_schema_4(node) for name, node in raw["nodes"].items()}
    if schema < 4:
        raw = _of_schema_3(raw)
    if schema < 3:
        raw = _without(raw, OF_THE_CLUSTER_3)
        raw["vms"] = {name: _vm_of_schema_2(vm) for name, vm in raw["vms"].items()}
        raw["networks"] = {
            name: _without(network, OF_EACH_NETWORK_3) for name, network in raw["networks"].items()
        }
    if schema < 2:
        raw["vms"] = {name: _vm_of_schema_1(vm) for name, vm in raw["vms"].items()}
        raw["drbd"] = _without(raw["drbd"], OF_DRBD)
        raw["change"] = _without(raw["change"], OF_THE_CHANGE)
    return raw


def _of_schema_3(raw: Raw) -> Raw:
    """A document of schema 4 without what came in it."""
    raw = {**raw, "permissions": _without(raw["permissions"], OF_PERMISSIONS_4)}
    raw["nodes"] = {name: node_of_schema_3(node) for name, node in raw["nodes"].items()}
    raw["networks"] = {
        name: _without(network, OF_EACH_NETWORK_4) for name, network in raw["networks"].items()
    }
    raw["vms"] = {name: vm_of_schema_3(vm) for name, vm in raw["vms"].items()}
    return raw


def node_of_schema_5(node: Raw) -> Raw:
    """A member of schema 6 without what came in it."""
    return _without(node, OF_EACH_NODE_6)


def node_of_schema_4(node: Raw) -> Raw:
    """A member without what came in schema 5 and later."""
    return _without(node_of_schema_5(node), OF_EACH_NODE_5)


def node_of_schema_3(node: Raw) -> Raw:
    """A member without what came in schema 4 and later."""
    return _without(node_of_schema_4(node), OF_EACH_NODE_4)


def vm_of_schema_3(vm: Raw) -> Raw:
    """A VM of schema 4 without what came in it."""
    nics = [_without(nic, OF_EACH_NIC_4) for nic in vm["nics"]]
    return {**_without(vm, OF_EACH_VM_4), "nics": nics}


def _vm_of_schema_2(vm: Raw) -> Raw:
    disks = [_without(disk, OF_EACH_DISK_3) for disk in vm["disks"]]
    return {**_without(vm, OF_EACH_VM_3), "disks": disks}


def _vm_of_schema_1(vm: Raw) -> Raw:
    """A VM; the kind of each of its disks stands behind id and size, where a tag comes first.

    Hashes, and with them each generation's parent, are over the text: order is part of it.
    """
    first = ("id", "size", "storage")
    disks = [{**{key: disk[key] for key in first}, **disk} for disk in vm["disks"]]
    return {**_without(vm, OF_EACH_VM), "disks": disks}


def require_schema(document: "Document", schema: int) -> None:
    """Raise Refused unless a document is of that schema, or a later one."""
    if document.schema < schema:
        raise not_yet()


def older_member(what: str) -> Refused:
    """The error for what the document cannot hold yet, named at the beginning of the sentence."""
    return Refused(
        f"{what} yet: a member that is online has an older mcv.",
        "Install this mcv on every node; which lack it: mcv info",
    )


def not_yet() -> Refused:
    """The error for a change that a document of this schema cannot hold."""
    return Refused(
        "The document cannot hold this yet: a member that is online has an older mcv.",
        "Install this mcv on every node; the others tell which: mcv info",
    )


def _without(raw: Raw, fields: tuple[str, ...]) -> Raw:
    return {key: value for key, value in raw.items() if key not in fields}


def version_of(text: str | bytes) -> int:
    """The schema that a document says it has; raise Refused where it says none."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        where = f"line {line}: " if line else ""
        raise Refused(f"{where}it is no JSON ({error}).") from error
    version = raw.get("schema") if isinstance(raw, dict) else None
    if not isinstance(version, int):
        raise Refused("line 1: it is no document of mcv's: it names no schema.")
    return version


def check(text: str | bytes) -> None:
    """Raise Refused for what is no document, and for a document of a newer or too old an mcv."""
    version = version_of(text)
    if version > SCHEMA:
        raise Refused(
            f"it was written by a newer mcv: schema {version}, and this one reads up to {SCHEMA}.",
            "Install the newer mcv here, as on the other nodes.",
        )
    if version < OLDEST:
        raise Refused(f"schema {version} is too old for this mcv.")
