"""Schemas of the document: what each later schema added, and who reads what.

A document keeps the schema that it was written in, and its hash with it, until every online
member reads a later one; then the change `document.schema` raises it. The structs of
mcv/document/model.py are those of the newest schema: a field that came later has a default,
which is what a document of an older schema means by not having it.
"""

import json
from typing import Any

from mcv.errors import Refused

Raw = dict[str, Any]

SCHEMA = 3
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


def older(raw: Raw, schema: int) -> Raw:
    """A document of the newest schema, as plain values, without what came after `schema`."""
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
