"""Stories of a service: www, an address with a unit and two scripts, of this node or the other."""

from mcv.service import create, power
from tests.deaths.ends import other, was_done_in_part
from tests.fakes.cluster import FakeCluster
from tests.service.names import IP, ON, A, B

PARTS = 4  # the address, a unit, and a unit for each script


def equip(cluster: FakeCluster, node: str) -> None:
    """Every node has what www needs."""
    for name in cluster.hosts:
        cluster.bridges[name].names = ("br-lan", "br0")
        for path in (A, B):
            cluster.services[name].programs.digests[path] = "0" * 64


def make(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, create.create, name="www", **ON, units=["nginx"], scripts=[A, B])


def equip_and_make(cluster: FakeCluster, node: str) -> None:
    equip(cluster, node)
    make(cluster, node)


def equip_and_start(cluster: FakeCluster, node: str) -> None:
    equip_and_make(cluster, node)
    start(cluster, node)


def start(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, power.start, name="www")


def stop(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, power.stop, name="www")


def migrate(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, power.migrate, name="www", to=other(node))


def delete(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, create.delete, name="www")


# How they may end


def parts(cluster: FakeCluster, node: str) -> int:
    """How many parts of www are on a node."""
    doors = cluster.services[node]
    return (IP in doors.address.own) + len(doors.units.active)


def exists(cluster: FakeCluster, node: str) -> str:
    known = {"www" in host.read().services for host in cluster.hosts.values()}
    if any(parts(cluster, name) for name in cluster.hosts):
        return "something of it runs"
    if len(known) == 2:
        return "one node knows it"
    return "whole" if known == {True} else "nothing"


def is_gone(cluster: FakeCluster, node: str) -> str:
    return {"whole": "nothing", "nothing": "whole"}.get(end := exists(cluster, node), end)


def started(cluster: FakeCluster, node: str) -> str:
    """All of it runs, or nothing; what a death has left of it is made whole by another start."""
    there, wanted = parts(cluster, node), cluster.read(node).services["www"].entry.wanted
    if parts(cluster, other(node)):
        return f"something of it is on {other(node)}"
    if there == PARTS and wanted == "started":
        return "whole"
    if there == 0 and wanted == "stopped":
        return "nothing"
    start(cluster, node)
    there = parts(cluster, node)
    return "either" if there == PARTS else f"a start leaves {there} parts"


def stopped(cluster: FakeCluster, node: str) -> str:
    """Nothing of it is left, or all; what a death has left of it goes with another stop."""
    there, wanted = parts(cluster, node), cluster.read(node).services["www"].entry.wanted
    if parts(cluster, other(node)):
        return f"something of it is on {other(node)}"
    if there == 0 and wanted == "stopped":
        return "whole"
    if there == PARTS and wanted == "started":
        return "nothing"
    stop(cluster, node)
    there = parts(cluster, node)
    return "either" if there == 0 else f"a stop leaves {there} parts"


def moved(cluster: FakeCluster, node: str) -> str:
    """It runs whole on its owner; where it did not start there, its operator was told.

    Whoever died in its start there has left a part of it: another start makes it whole.
    """
    owner = cluster.read(node).services["www"].node
    there, elsewhere = parts(cluster, owner), parts(cluster, other(owner))
    if elsewhere:
        return f"{owner} owns it, and {other(owner)} has {elsewhere} parts"
    if there == PARTS:
        return "nothing" if owner == node else "whole"
    if owner == node or not was_done_in_part(cluster, node):
        return f"{owner} owns it, and has {there} parts"
    start(cluster, owner)
    return "either" if parts(cluster, owner) == PARTS else "it does not start"


def moved_stopped(cluster: FakeCluster, node: str) -> str:
    if any(parts(cluster, name) for name in cluster.hosts):
        return "something of it runs"
    return "nothing" if cluster.read(node).services["www"].node == node else "whole"
