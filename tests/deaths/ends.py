"""How a story may end: "whole", "nothing", "either" where both look alike, or what is wrong."""

from collections.abc import Callable

from mcv.document.pools import DEFAULT_LOCATION
from mcv.drivers.domain_reading import substance
from mcv.drivers.drbd_status import have_split
from mcv.drivers.libvirt_nics import macs_in
from mcv.rules import saved
from mcv.storage import image_files
from mcv.storage.pieces import PIECE
from tests.fakes.blocks import Pieces
from tests.fakes.cluster import FakeCluster

RESOURCE = "mcv-web1-1"
NEW_ADDRESS = "10.0.9.1"
DATA = {0: b"boot", PIECE: b"data", 7 * PIECE: b"the end"}  # of a disk, by the piece
SINCE = {3 * PIECE: b"written since"}  # by a guest that went on on another node

End = Callable[[FakeCluster, str], str]


def other(node: str) -> str:
    return "n1" if node == "n2" else "n2"


def parts(cluster: FakeCluster) -> dict[str, set[str]]:
    """What there is of web1, and where."""
    found: dict[str, set[str]] = {}
    for name, host in cluster.hosts.items():
        found.setdefault("entry", set()).update({name} if "web1" in host.read().vms else ())
        files_ = list(host.settings.drbd_directory.glob("*.res"))
        found.setdefault("file", set()).update({name} if files_ else ())
        for what, there in (
            ("volume", cluster.lvm[name].made),
            ("domain", cluster.domains[name].defined),
            ("replica", cluster.drbd[name].statuses()),
        ):
            found.setdefault(what, set()).update({name} if there else ())
    return found


def whole_vm(cluster: FakeCluster, node: str) -> bool:
    """Whether all that web1 is made of is there, and nothing else."""
    vm = cluster.read(node).vms["web1"]
    return parts(cluster) == {
        "entry": set(cluster.hosts),
        "volume": set(vm.nodes),
        "replica": set(vm.nodes),
        "file": set(vm.nodes),
        "domain": {vm.node},
    }


def exists(cluster: FakeCluster, node: str) -> str:
    found = parts(cluster)
    if not any(found.values()):
        return "nothing"
    return "whole" if "web1" in cluster.read(node).vms and whole_vm(cluster, node) else str(found)


def moved_from(old: Callable[[str], str]) -> End:
    """web1 is whole, on its old owner or on another one."""

    def end(cluster: FakeCluster, node: str) -> str:
        if not whole_vm(cluster, node):
            return str(parts(cluster))
        return "nothing" if cluster.read(node).vm("web1").node == old(node) else "whole"

    return end


def renamed(cluster: FakeCluster, node: str) -> str:
    """web1 is called www everywhere, or nowhere; its volumes are called as before."""
    names = {tuple(host.read().vms) for host in cluster.hosts.values()}
    defined = {name: tuple(door.defined) for name, door in cluster.domains.items()}
    volumes = {tuple(door.made) for door in cluster.lvm.values()}
    for word, name in (("nothing", "web1"), ("whole", "www")):
        if names == {(name,)}:
            expected = {each: (name,) if each == node else () for each in cluster.hosts}
            is_well = defined == expected and volumes == {("mcv-web1-1",)}
            return word if is_well else f"{defined}, {volumes}"
    return f"{names}"


def cards(before: int, after: int) -> End:
    """web1 has its cards in the document and its definition; what it gets, what runs has too."""

    def end(cluster: FakeCluster, node: str) -> str:
        documents = [host.read().vm("web1") for host in cluster.hosts.values()]
        found = {tuple(nic.mac for nic in vm.nics) for vm in documents}
        found.add(tuple(macs_in(cluster.domains[node].defined["web1"])))
        if after > before:
            found.add(tuple(macs_in(cluster.domains[node].xml("web1"))))
        words = {before: "nothing", after: "whole"}
        return words[len(found.pop())] if len(found) == 1 else f"{found}"

    return end


def has_addresses(cluster: FakeCluster, node: str) -> str:
    """The document, the node's mcv.conf and its daemon name one address, the old or the new."""
    host = cluster.hosts[node]
    said = {each.read().node(node).ip_address for each in cluster.hosts.values()}
    said.add(host.settings.address)
    conf = host.settings.conf
    is_in_conf = conf.exists() and f"address = {NEW_ADDRESS}\n" in conf.read_text()
    if said == {NEW_ADDRESS} and is_in_conf:
        return "whole"
    return "nothing" if len(said) == 1 and not is_in_conf else f"{said}, in mcv.conf: {is_in_conf}"


def pieces(cluster: FakeCluster, node: str, on: str) -> Pieces:
    """The bytes that a node has of the only disk of web1, which `node` knows."""
    (disk,) = cluster.read(node).vm("web1").disks
    if disk.storage == "drbd":
        return cluster.devices.setdefault(disk.volume, {})
    where = DEFAULT_LOCATION if disk.storage == "file" else "/dev/vg0"
    return cluster.blocks[on].pieces(f"{where}/{disk.volume}")


def volumes(cluster: FakeCluster, node: str) -> set[str]:
    return {*cluster.lvm[node].made, *cluster.directories[node].made[DEFAULT_LOCATION]}


def has_notes(cluster: FakeCluster) -> bool:
    notes = ("*.copy.json", "*.mirror.json")
    hosts = cluster.hosts.values()
    return any(list(host.settings.notes.glob(note)) for host in hosts for note in notes)


def disk_moved(old: str, new: str) -> End:
    """web1 has its only disk with every byte, of one kind, and nothing is left of another."""

    def end(cluster: FakeCluster, node: str) -> str:
        disks = cluster.read(node).vm("web1").disks
        if [disk.id for disk in disks] != [1] or disks[0].storage not in (old, new):
            return f"its disks are {disks}"
        (disk,) = disks
        there = {name: volumes(cluster, name) for name in cluster.hosts}
        if any(there[name] != ({disk.volume} if name in disk.places else set()) for name in there):
            return f"{disk}, and there are {there}"
        resources = {disk.volume} if disk.storage == "drbd" else set()
        if any(set(door.statuses()) != resources for door in cluster.drbd.values()):
            return f"{disk}, and other resources"
        if disk.mirror_of or pieces(cluster, node, node) != DATA | cluster.written:
            return f"{disk} without its bytes"
        if disk.volume not in cluster.domains[node].defined["web1"] and disk.storage != "drbd":
            return "the domain has another disk"
        if cluster.domains[node].defined["web1"].count('device="disk"') != 1 or has_notes(cluster):
            return "the domain has more disks, or a note is left"
        return "whole" if disk.storage == new else "nothing"

    return end


def was_done_in_part(cluster: FakeCluster, node: str) -> bool:
    """Whether the operator was told that a last step, which may fail, was not done."""
    errors = [job["error"] for job in cluster.hosts[node].jobs.listed()]
    return any(error and error["class"] == "DoneInPart" for error in errors)


def newest(cluster: FakeCluster, owner: str) -> Pieces:
    """What the disk of web1 has to hold: what was written where the guest went on, too."""
    return DATA | SINCE if owner in cluster.wrote else DATA


def copied_live(old: Callable[[str], str]) -> End:
    """As after a copy; it runs on its owner or nowhere, and belongs where its guest wrote last."""

    def end(cluster: FakeCluster, node: str) -> str:
        owner = cluster.read(node).vm("web1").node
        active = {name: door.state("web1") for name, door in cluster.domains.items()}
        if active[other(owner)] != "absent" or active[owner] not in ("running", "stopped"):
            return f"{owner} owns it: {active}"
        if cluster.wrote - {owner}:
            return f"{owner} owns it, and it went on on {cluster.wrote}"
        return copied_from(old)(cluster, node)

    return end


def moved_mixed(cluster: FakeCluster, node: str) -> str:
    """web1 has a replicated and a local disk: the local one is where it belongs, with its bytes."""
    vm = cluster.read(node).vm("web1")
    owner, second = vm.node, vm.disk(2)
    active = {name: door.state("web1") for name, door in cluster.domains.items()}
    roles = {name: one.role for name, one in cluster.world.replicas[RESOURCE].items()}
    primary = [name for name, role in roles.items() if role == "Primary"]
    there = {name for name in cluster.hosts if second.volume in cluster.lvm[name].made}
    if owner != node and was_done_in_part(cluster, node):
        there -= {node}
    opened = [name for name, door in cluster.drbd.items() if door.two_primaries]
    wrong = [
        f"{owner} owns it: {active}, primary {primary}, {second.places}, {there}, open {opened}"
        for right in (
            active[other(owner)] == "absent" and active[owner] in ("running", "stopped"),
            primary == ([owner] if active[owner] == "running" else []),
            there == set(second.places) == {owner},
            not opened and not has_notes(cluster),
            cluster.wrote <= {owner},
        )
        if not right
    ]
    bytes_ = cluster.blocks[owner].pieces(f"/dev/vg0/{second.volume}")
    if not wrong and bytes_ != newest(cluster, owner):
        wrong = [f"{owner} owns it, without its bytes"]
    return wrong[0] if wrong else "nothing" if owner == node else "whole"


def copied_from(old: Callable[[str], str]) -> End:
    """web1 is whole on its owner, with every byte of its disk there and none elsewhere."""

    def end(cluster: FakeCluster, node: str) -> str:
        owner = cluster.read(node).vm("web1").node
        files_ = {name: door.made[DEFAULT_LOCATION] for name, door in cluster.directories.items()}
        there = {name for name in cluster.hosts if cluster.lvm[name].made or files_[name]}
        defined = {name for name, door in cluster.domains.items() if "web1" in door.defined}
        if owner != old(node) and was_done_in_part(cluster, node):
            there -= {old(node)}
        if there != {owner} or defined != {owner}:
            return f"{owner} owns it, volumes on {there}, defined on {defined}"
        if pieces(cluster, node, owner) != newest(cluster, owner):
            return f"{owner} owns it, without its bytes"
        if has_notes(cluster):
            return "a note of the copy is left"
        return "nothing" if owner == old(node) else "whole"

    return end


def moved_live(cluster: FakeCluster, node: str) -> str:
    """web1 is whole on one side, runs there or nowhere, and no side is open any more."""
    said = moved_from(lambda old: old)(cluster, node)
    owner = cluster.read(node).vm("web1").node
    active = {name: door.state("web1") for name, door in cluster.domains.items()}
    roles = {name: one.role for name, one in cluster.world.replicas["mcv-web1-1"].items()}
    if active[other(owner)] != "absent" or active[owner] not in ("running", "stopped"):
        return f"{owner} owns it: {active}"
    primary = [name for name, role in roles.items() if role == "Primary"]
    if primary != ([owner] if active[owner] == "running" else []):
        return f"{active}, primary on {primary}"
    opened = [name for name, door in cluster.drbd.items() if door.two_primaries]
    return f"{opened} allow two primaries" if opened else said


def with_memory(end: End) -> End:
    """web1's saved memory is there where nothing has happened, and else can never go on."""

    def told(cluster: FakeCluster, node: str) -> str:
        said = end(cluster, node)
        cluster_now = cluster.read(node)
        restorable = [
            name
            for name, door in cluster.domains.items()
            if (memory := door.saved.of("web1")) is not None
            and not saved.is_old(cluster_now.vm("web1"), name, memory)
        ]
        if said == "nothing" and restorable != [node]:
            return f"nothing has happened, and memory that fits is on {restorable}"
        if said == "whole" and any(door.saved.memories for door in cluster.domains.values()):
            return "its memory was given up, and is still there"
        return said

    return told


def shared(cluster: FakeCluster, node: str) -> str:
    """The pool nfs is in the document, and its directory bears its id; or neither is."""
    pool = cluster.read(node).pools.get("nfs")
    mark = cluster.directories[node].at("/mnt/nfs").mark
    if pool is None:
        return "nothing" if not mark else f"no pool, and the mark {mark}"
    return "whole" if mark == pool.id and pool.claim is None else f"{pool}, and the mark {mark}"


def grown(cluster: FakeCluster, node: str) -> str:
    cpus = cluster.read(node).vm("web1").cpus
    defined = substance(cluster.domains[node].defined["web1"]).cpus == cpus
    return f"{cpus} CPUs, not so defined" if not defined else "whole" if cpus == 3 else "nothing"


def same(cluster: FakeCluster, node: str) -> str:
    """A resync leaves no trace: there it is whole either way."""
    return "either" if whole_vm(cluster, node) else str(parts(cluster))


def kept(who: Callable[[str], str]) -> End:
    """Both sides have the kept one's data, or each still has its own: never the other's."""

    def end(cluster: FakeCluster, node: str) -> str:
        first, second = (cluster.drbd[one].metadata.generations(RESOURCE) for one in ("n1", "n2"))
        if not whole_vm(cluster, node):
            return str(parts(cluster))
        if have_split(first, second):
            return "nothing"
        # The last generations to begin were those of the two sides, n2's the very last.
        wanted = cluster.world.begun - (2 if who(node) == "n1" else 0)
        return "whole" if first.data == second.data == wanted else f"{first} and {second}"

    return end


def verified(cluster: FakeCluster, node: str) -> str:
    """web1, which a failed verification blocked, is as it should be: a clean one frees it."""
    mark = cluster.read(node).vm("web1").replica(1).verification
    if (mark.result, mark.blocked) == ("clean", False):
        return "whole"
    blocked = mark.blocked and mark.result in ("interrupted", "out-of-sync")
    return "nothing" if blocked else f"{mark.result}, {'' if mark.blocked else 'not '}blocked"


def found(cluster: FakeCluster, node: str) -> str:
    """web1's replicas differ, so that whatever happens it is blocked."""
    said = verified(cluster, node)
    return "either" if said == "nothing" else f"clean, though they differ ({said})"


def member(cluster: FakeCluster, node: str) -> str:
    new = other(node)
    mine, theirs = cluster.read(node), cluster.read(new)
    if new not in mine.nodes:
        return "nothing" if list(theirs.nodes) == [new] else f"{new} is not blank"
    return "whole" if mine.online == theirs.online == ["n1", "n2"] else f"{mine.nodes[new].status}"


def superuser(cluster: FakeCluster, node: str) -> str:
    return "whole" if "bob" in cluster.read(node).permissions.superusers else "nothing"


def named(cluster: FakeCluster, node: str) -> str:
    return "whole" if "lan" in cluster.read(node).networks else "nothing"


def online(who: Callable[[str], str]) -> End:
    return lambda cluster, node: (
        "whole" if cluster.read(node).nodes[who(node)].status == "online" else "nothing"
    )


def reverse(end: End) -> End:
    """The end of what takes away: nothing left is the whole of it."""
    names = {"whole": "nothing", "nothing": "whole"}
    return lambda cluster, node: names.get(said := end(cluster, node), said)


def image(cluster: FakeCluster, node: str) -> str:
    """The image debian, with a file wherever the document calls it ready.

    Where it failed a file may be there: what has arrived is kept for the next copy.
    """
    files = {}
    for name, host in cluster.hosts.items():
        image_files.clean(host)  # as a daemon does that starts
        files[name] = sorted(path.name for path in host.settings.images.glob("*"))
    entry = cluster.read(node).images.get("debian")
    if entry is None:
        return "nothing" if not any(files.values()) else f"left: {files}"
    file = image_files.file_name("debian", entry)
    there = {name for name, found in files.items() if file in found}
    is_settled = "syncing" not in entry.nodes.values() and entry.claim is None
    right = is_settled and set(entry.ready) <= there <= set(entry.nodes)
    return "whole" if right and node in there else f"{entry.nodes} {files}"


def image_on(who: Callable[[str], str]) -> End:
    """The image is whole, and on that node too."""

    def end(cluster: FakeCluster, node: str) -> str:
        said = image(cluster, node)
        if said != "whole":
            return said if said != "nothing" else "it is gone"
        return "whole" if who(node) in cluster.read(node).images["debian"].ready else "nothing"

    return end
