"""Runs on a node, under mcv's own Python: calls without the start of a process, many VMs at once.

run OPERATION PARAMS    ask mcvd, follow the job, print the seconds
change VM TIMES         lock and unlock a VM in turn, print the seconds of each
seed COUNT              make COUNT VMs of the document in one change (mcvd is down)
define COUNT            define their domains, and take away all others
"""

import json
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import libvirt
from msgspec.structs import replace

from mcv import settings
from mcv.document.generation import ChangeMade
from mcv.document.model import Cluster, Vm, digest
from mcv.document.store import Store
from mcv.drivers.domain_reading import MIB
from mcv.drivers.domain_xml import domain_xml
from mcv.drivers.libvirt import URI
from mcv.rpc.client import Client

OWNER = "node1"


def run(operation: str, params: str) -> None:
    wanted = json.loads(params)
    client = Client()
    client.call("cluster.info")  # what is imported at the first call is so before the clock runs
    print(_seconds(client, operation, wanted))


def change(name: str, times: str) -> None:
    client = Client()
    client.call("cluster.info")
    for _ in range(int(times)):
        for operation in ("vm.lock", "vm.unlock"):
            print(_seconds(client, operation, {"name": name}))


def _seconds(client: Client, operation: str, params: dict[str, Any]) -> float:
    began = time.monotonic()
    client.run(operation, **params)
    return time.monotonic() - began


def seed(count: str) -> None:
    """The same change on every node: it depends on the document alone."""
    conf = settings.load()
    store = Store(conf.state, conf.history)
    store.drop_proposal()
    base = store.read()
    store.propose(seeded(base, int(count)))
    store.commit()
    print(store.hash())


def seeded(base: Cluster, count: int) -> Cluster:
    """The next generation, in which there are these VMs and no others."""
    made = ChangeMade(
        id=f"seed{base.generation:08x}",
        who="root",
        when=base.change.when,
        why=f"seed {count} VMs",
        node=OWNER,
    )
    return replace(
        base,
        vms={vm.name: vm for vm in map(vm_number, range(count))},
        parent=digest(base),
        generation=base.generation + 1,
        change=made,
        changes=(*base.changes, made.id),
    )


def vm_number(number: int) -> Vm:
    name = f"vm{number:04d}"
    return Vm(
        name=name,
        uuid=str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        memory=64 * MIB,
        cpus=1,
        node=OWNER,
        nodes=(OWNER,),
    )


def define(count: str) -> None:
    connection = libvirt.open(URI)
    wanted = {vm.name: vm for vm in map(vm_number, range(int(count)))}
    there = {domain.name(): domain for domain in connection.listAllDomains(0)}
    for name in there.keys() - wanted.keys():
        there[name].undefine()
    for name in wanted.keys() - there.keys():
        connection.defineXML(
            domain_xml(
                wanted[name],
                sources={},
                networks={},
                node="n1",
                domain_type="qemu",
                emulator="/usr/bin/qemu-system-x86_64",
            )
        )


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    commands: dict[str, Callable[..., None]] = {
        "run": run,
        "change": change,
        "seed": seed,
        "define": define,
    }
    commands[command](*arguments)
