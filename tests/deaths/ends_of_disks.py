"""How a story of a disk may end; the words are those of tests/deaths/ends.py."""

from collections.abc import Callable

from mcv.document.pools import DEFAULT_LOCATION
from mcv.drivers.domain_xml import CD
from mcv.drivers.libvirt_devices import medium_in, targets_in
from mcv.storage import image_files
from tests.deaths import ends
from tests.deaths.ends import End, was_done_in_part
from tests.fakes.cluster import FakeCluster

MIB = 1024**2


def has_second(cluster: FakeCluster, node: str) -> str:
    """web1's second disk is there with all that it is made of, or nothing of it is.

    A guest that was not asked to let go keeps a disk that is leaving, whole; its operator is told.
    """
    vm = cluster.read(node).vm("web1")
    domains = cluster.domains[node]
    found = {
        "entry": [disk.id for disk in vm.disks if not disk.leaving] == [1, 2],
        "definition": "vdb" in targets_in(domains.defined["web1"]),
    }
    if domains.is_active("web1"):
        found["guest"] = "vdb" in domains.disks.targets("web1")
    for name in ("n1", "n2"):
        found[f"volume on {name}"] = "mcv-web1-2" in cluster.lvm[name].made
        found[f"resource on {name}"] = cluster.drbd[name].status("mcv-web1-2") is not None
        path = cluster.hosts[name].settings.drbd_directory / "mcv-web1-2.res"
        found[f"file on {name}"] = path.exists()
    if any(disk.leaving for disk in vm.disks):
        is_whole = all(
            there for part, there in found.items() if part not in ("entry", "definition")
        )
        is_kept = found.get("guest", False) and was_done_in_part(cluster, node)
        return "either" if is_whole and is_kept else f"leaving, {found}"
    if all(found.values()):
        return "whole"
    return str(found) if any(found.values()) else "nothing"


def grown(number: int) -> End:
    """The disk has 128 MiB for everybody, or for nobody; what was added is zeroed either way."""

    def end(cluster: FakeCluster, node: str) -> str:
        disk = cluster.read(node).vm("web1").disk(number)
        domains = cluster.domains[node]
        if dirty := [name for name, lvm in cluster.lvm.items() if any(lvm.dirty.values())]:
            return f"not zeroed on {dirty}"
        seen = _sizes(cluster, node, number)
        runs = domains.is_active("web1") and disk.target in domains.disks.targets("web1")
        if runs and disk.storage == "drbd":
            seen.append(domains.disks.capacity("web1", disk.target))
        if disk.size == 128 * MIB:
            return "whole" if min(seen) >= disk.size else f"{disk.size} in the document, {seen}"
        # A file that grew and is not said to have: larger and unused.
        return "nothing" if disk.storage == "file" or max(seen) <= disk.size else f"{seen} at once"

    return end


def _sizes(cluster: FakeCluster, node: str, number: int) -> list[int]:
    """What each node shows a guest of the disk."""
    disk = cluster.read(node).vm("web1").disk(number)
    if disk.storage == "drbd":
        states = [door.status(f"mcv-web1-{number}") for door in cluster.drbd.values()]
        return [state.size if state else 0 for state in states]
    domains = cluster.domains[node]
    inside = domains.disks.sizes.get(("web1", disk.target), 0)
    return [max(inside, cluster.directories[node].made[DEFAULT_LOCATION][disk.volume])]


def limited(cluster: FakeCluster, node: str) -> str:
    """The disk is held down in the document, the definition and the guest, or in none of them."""
    disk = cluster.read(node).vm("web1").disk(1)
    domains = cluster.domains[node]
    defined = "<total_iops_sec>500</total_iops_sec>" in domains.defined["web1"]
    found = [disk.iops == 500, defined]
    if domains.is_active("web1"):
        found.append(domains.disks.limits("web1", "vda") == (500, MIB))
    return "whole" if all(found) else str(found) if any(found) else "nothing"


def has_cd(cluster: FakeCluster, node: str) -> str:
    """The CD debian is in the drive of web1 by the document, the definition and what runs.

    A guest may have the old one until it starts anew: then the operator is told so.
    """
    cd = cluster.read(node).vm("web1").cd
    file = str(image_files.path(cluster.hosts[node], "debian")) if cd else ""
    defined = medium_in(cluster.domains[node].defined["web1"], CD)
    if defined != file or cluster.read(node).images["debian"].nodes.get(node) != "ready":
        return f"the CD is {cd!r}, and {defined!r} is defined"
    return "whole" if cd else "nothing"


def replica_moved(source: Callable[[str], str], to: Callable[[str], str]) -> End:
    """web1 runs, with its other replica on its old node or on the new one, whole and alone.

    What a node that is away has stays there, and what its operator was told could not be removed.
    """

    def end(cluster: FakeCluster, node: str) -> str:
        vm = cluster.read(node).vm("web1")
        (disk,) = vm.replicated
        if disk.former or disk.former_port or set(vm.nodes) != set(disk.places):
            return f"{disk} on {vm.nodes}"
        places, found = set(disk.places), {**ends.parts(cluster)}
        peer = disk.other(node)
        may_stay = source(node) in cluster.down or was_done_in_part(cluster, node)
        spared = {source(node)} if peer == to(node) and may_stay else set()
        for what in ("volume", "replica", "file"):
            if found[what] - spared != places:
                return f"{disk.places}, and each {what} is on {found[what]}"
        status = cluster.drbd[node].statuses()[ends.RESOURCE]
        if peer not in cluster.down and not status.both_up_to_date:
            return f"the replicas are {status.disk} and {status.peer_disk}"
        if not cluster.domains[node].is_active("web1") or ends.has_notes(cluster):
            return "web1 does not run, or a note is left"
        return "whole" if peer == to(node) else "nothing"

    return end


def replica_settled(source: Callable[[str], str], to: Callable[[str], str]) -> End:
    """A node that is back is the peer again, or has let go of its replica, which is Outdated."""

    def end(cluster: FakeCluster, node: str) -> str:
        (disk,) = cluster.read(node).vm("web1").replicated
        old, found = source(node), ends.parts(cluster)
        door = cluster.drbd[old]
        if disk.other(node) == old:
            well = cluster.drbd[node].statuses()[ends.RESOURCE].both_up_to_date
            return "either" if well else "the old replica is not in step"
        gone = old not in found["replica"] | found["file"]
        stale = door.kept.get(ends.RESOURCE) == "Outdated"
        return "either" if gone and stale else f"{old} keeps {found}, {door.kept}"

    return end
