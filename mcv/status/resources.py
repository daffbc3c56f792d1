"""The resources of the cluster as each node sees them."""

from typing import Any

from mcv.host import Host
from mcv.status.vms import is_verified_now, reports


def list_(host: Host) -> list[dict[str, Any]]:
    seen = reports(host)
    rows = []
    for vm, disk in host.read().disks():
        sides = {
            node: (seen[node] or {"resources": {}})["resources"].get(disk.resource)
            for node in sorted(disk.volume_groups)
        }
        known = [side for side in sides.values() if side]
        done = [side["done"] for side in known if side["done"] is not None]
        last = disk.verification
        cut_off = last.result == "running" and not is_verified_now(vm, seen)
        rows.append(
            {
                "vm": vm.name,
                "disk": disk.id,
                "resource": disk.resource,
                "minor": disk.minor,
                "port": disk.port,
                "node": {
                    node: {
                        "role": side["role"] if side else "Unknown",
                        "disk": side["disk"] if side else "DUnknown",
                        "connection": side["connection"] if side else "Unknown",
                    }
                    for node, side in sides.items()
                },
                "out_of_sync": max((side["out_of_sync"] for side in known), default=0),
                "done": min(done) if done else None,
                "verified": last.when,
                "verified_by": last.who,
                "result": "interrupted" if cut_off else last.result,
                "blocked": last.blocked,
            }
        )
    return rows
