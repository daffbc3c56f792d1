"""Two daemons that are watched, in one process: real sockets, TLS and logs, fake guests.

Run as `python -m tests.bench.watched DIRECTORY VMS`: serves operators of n1 at DIRECTORY/socket
until its standard input ends. n1 has so many VMs that run, with rows as libvirt 9.0.0 tells them.
"""

import os
import sys
import uuid
from pathlib import Path
from typing import Any

from mcv.api import dispatch
from mcv.drivers.libvirt_connection import Connection
from mcv.drivers.libvirt_load import Load
from mcv.host import Host
from mcv.rpc import pki
from mcv.rpc.auth import Caller
from mcv.rpc.peers import Address, Peers
from mcv.rpc.server import Server
from tests.fakes.cluster import FakeCluster

BLOCK = {
    "name": "vda",
    "path": "/dev/drbd100",
    "backingIndex": 1,
    **dict.fromkeys(
        ("rd.reqs", "rd.bytes", "rd.times", "wr.reqs", "wr.bytes", "wr.times"), 1 << 20
    ),
    **dict.fromkeys(("fl.reqs", "fl.times", "allocation", "capacity", "physical"), 1 << 30),
}
CPU = dict.fromkeys(("cpu.time", "cpu.user", "cpu.system"), 10**12)
BALLOON = dict.fromkeys(
    [
        f"balloon.{key}"
        for key in (
            *("current", "maximum", "swap_in", "swap_out", "major_fault", "minor_fault", "unused"),
            *("available", "usable", "last-update", "disk_caches", "hugetlb_pgalloc", "rss"),
        )
    ],
    1 << 20,
)


def row(disks: int = 2) -> dict[str, Any]:
    """What libvirt tells of a guest, a new value as libvirt makes it for each call."""
    blocks = {f"block.{n}.{key}": value for n in range(disks) for key, value in BLOCK.items()}
    return {**CPU, **BALLOON, "block.count": disks, **blocks}


class Domain:
    def __init__(self, id: str) -> None:
        self._id = id

    def UUIDString(self) -> str:
        return self._id

    def metadata(self, *_: object) -> str:
        return "<vm/>"


class Libvirt:
    """A connection to a libvirt with guests that run."""

    def __init__(self, ids: list[str]) -> None:
        self._domains = [Domain(id) for id in ids]

    def isAlive(self) -> bool:
        return True

    def getAllDomainStats(self, *_: int) -> list[tuple[Domain, dict[str, Any]]]:
        return [(domain, row()) for domain in self._domains]


def load_of(count: int) -> Load:
    known = {f"vm{n:03}": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"vm{n}")) for n in range(count)}
    connection = Connection("qemu:///system", lambda: known)
    connection._connected = Libvirt(list(known.values()))
    return Load(connection)


def served(host: Host) -> Any:
    def handle(
        caller: Caller, operation: str, params: dict[str, Any], context: dict[str, Any]
    ) -> Any:
        return dispatch.serve(host, caller, operation, params, context)

    return handle


def main(directory: Path, count: int) -> None:
    cluster = FakeCluster(directory / "cluster")
    n1, n2 = cluster.hosts["n1"], cluster.hosts["n2"]
    vars(cluster.domains["n1"])["load"] = load_of(count)
    keys = {name: pki.create(name, directory / name) for name in ("n1", "n2")}
    members = {name: identity.certificate_pem for name, identity in keys.items()}
    there = Server(served(n2), directory / "socket2", allowed_uid=os.getuid())
    port = there.start_peers("127.0.0.1", 0, keys["n2"], lambda: members)
    peers = Peers(keys["n1"], lambda _: Address("127.0.0.1", port, members["n2"]))

    def call(node: str, operation: str, /, *, timeout: float = 5, **params: Any) -> Any:
        epoch = n1.read().epoch
        context = {"epoch": [epoch.number, epoch.id], "address": "127.0.0.1"}
        n1.observations.hear(node)
        return peers.call(node, operation, params, context, timeout)

    n1.call = call
    n1.observations.hear("n2")
    for host in (n1, n2):
        for number in range(1000):
            host.jobs.events.record("root", "start", f"vm{number % count:03}")
    here = Server(served(n1), directory / "socket", allowed_uid=os.getuid())
    here.start_operator()
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
