"""What a daemon remembers, in memory and on disk: it does not grow with what it has done."""

import collections
from collections.abc import Iterator

import pytest

from mcv.api import dispatch, loops
from mcv.errors import RepairNeeded
from mcv.host import Host
from mcv.transaction import jobs
from mcv.vm import change, create, delete, edit, nics, pending, power, rename
from tests.fakes.cluster import FakeCluster

SIZED = (dict, list, set, collections.deque)
OVERLAY = "<domain><devices><watchdog model='i6300esb' action='reset'/></devices></domain>"
DOORS = {
    *("consensus", "domains", "drbd", "volumes", "directories", "blocks", "bridges", "devices"),
    *("call", "forward", "tunnel", "settings", "advice", "is_going_down", "go_down", "knows"),
}


def sizes(thing: object, where: str, seen: set[int]) -> Iterator[tuple[str, int]]:
    """How much each container holds that can be reached over fields of mcv's own objects."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, SIZED):
        yield where, len(thing)
    elif type(thing).__module__.startswith("mcv."):
        for name, value in getattr(thing, "__dict__", {}).items():
            if not isinstance(thing, Host) or name not in DOORS:
                yield from sizes(value, f"{where}.{name}", seen)


def remembered(cluster: FakeCluster) -> dict[str, int]:
    """What each node holds in memory, and how many files there are of each kind."""
    held: collections.Counter[str] = collections.Counter()
    for name, host in cluster.hosts.items():
        held.update(dict(sizes(host, name, set())))
        for path in host.settings.state.rglob("*"):
            if path.parent != host.settings.state / "history":  # as many as mcv.conf says
                held[str(path.parent)] += path.is_file()
    return dict(held)


def live_through(cluster: FakeCluster, name: str) -> None:
    """All of a VM's life on n1, with a creation that is cut off and resumed."""

    def cut_off(caller: str, node: str, operation: str) -> None:
        if operation == "drbd.create" and node == "n2":
            cluster.down.add("n2")

    cluster.spy = cut_off
    with pytest.raises(RepairNeeded):
        make(cluster, f"{name}-cut")
    cluster.spy = lambda caller, node, operation: None
    cluster.down.clear()
    rounds(cluster)
    make(cluster, name)
    cluster.run("n1", nics.add, name=name, network="lan")
    cluster.run("n1", power.start, name=name)
    cluster.run("n1", change.update, name=name, memory="32MiB", cpus=2)
    cluster.run("n1", edit.edit, name=name, overlay=OVERLAY)
    rounds(cluster)
    cluster.run("n1", power.stop, name=name)
    cluster.run("n1", rename.rename, name=name, new=f"{name}-renamed")
    cluster.run("n1", delete.delete, name=f"{name}-renamed")
    rounds(cluster)


def make(cluster: FakeCluster, name: str) -> None:
    cluster.run("n1", create.create, name=name, memory="64MiB", disks=["8MiB"])


def rounds(cluster: FakeCluster) -> None:
    for host in cluster.hosts.values():
        for loop in loops.LOOPS:
            if loop.name not in ("paths", "networks"):  # they look at this host
                loop.function(host)


def test_what_a_daemon_remembers_does_not_grow_with_what_it_has_done(
    vm: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "REMEMBERED", 3)
    monkeypatch.setattr(dispatch, "SERVED", 3)
    monkeypatch.setattr(pending, "SETTLING", 0.0)
    for number in range(4):
        live_through(vm, f"before{number}")
    before = remembered(vm)

    for number in range(4):
        live_through(vm, f"after{number}")

    after = remembered(vm)
    assert {where: (before.get(where, 0), now) for where, now in after.items() if now} == {
        where: (before.get(where, 0), before.get(where, 0)) for where, now in after.items() if now
    }
    assert vm.hosts["n1"].jobs.under_way() == 0
