"""What must be known of a host to judge whether it can be a member."""

import os
import socket
import time
from typing import Any

import mcv
from mcv.document.model import SCHEMA
from mcv.drbd import enable
from mcv.errors import McvError
from mcv.host import Host
from mcv.settings import resolved_address
from mcv.vm.capacity import capacity

REACH = 3.0


def facts(host: Host, reach: list[str] | None = None) -> dict[str, Any]:
    """Everything at once: who this is, what it holds, what it can do, whom it reaches.

    `reach` are addresses (IP:PORT) to try a connection to.
    """
    cluster = host.read()
    settings = host.settings
    found: dict[str, Any] = {
        "version": mcv.__version__,
        "schema": SCHEMA,
        "node": settings.node,
        "hostname": os.uname().nodename,
        "resolves": resolved_address(os.uname().nodename),
        "address": settings.address,
        "drbd_address": settings.drbd_address,
        "port": settings.port,
        "certificate": host.certificate,
        "time": time.time(),
        "cluster": cluster.name,
        "members": sorted(cluster.nodes),
        "vms": sorted(cluster.vms),
        "networks": sorted(cluster.networks),
        "reached": {one: _reaches(one) for one in reach or []},
        "trouble": [],
    }
    try:
        can = host.domains.capabilities()
        found["emulator"] = settings.emulator or can.emulator
        found["domain_type"] = settings.domain_type or can.domain_type
        found["domains"] = sorted(host.domains.states())
    except McvError as error:
        found["trouble"].append(f"libvirt: {error.message}")
    try:
        found["capacity"] = capacity(host)
    except McvError as error:
        found["trouble"].append(f"LVM: {error.message}")
    found["drbd"] = enable.able(host) if cluster.drbd.enabled or reach else None
    return found


def _reaches(address: str) -> bool:
    ip, _, port = address.rpartition(":")
    try:
        with socket.create_connection((ip, int(port)), timeout=REACH):
            return True
    except OSError:
        return False
