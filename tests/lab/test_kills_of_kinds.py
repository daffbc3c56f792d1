"""Ten kills for each kind of disk: in the middle of creation, growth, copies and image copies.

`make soak` has all of them. Whatever was cut off is there whole or not at all, with every byte
of the image, and no file or volume is left that is no disk.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from tests.lab import LabError, Node, reality, wait_until
from tests.lab.cluster import bring_back, mcv, told
from tests.lab.consistency import settle
from tests.lab.lab import side_by_side
from tests.lab.test_kills import COORDINATOR, KILL, PEER, ended, under_way

MIB = 1 << 20
SIZE = 16 * MIB
# Random bytes, a hole, and random bytes at the end.
FILL = f"""
    dd if=/dev/urandom of=/root/kinds.raw bs=1M count=6 status=none
    truncate -s {SIZE - MIB} /root/kinds.raw
    dd if=/dev/urandom of=/root/kinds.raw bs=1M count=1 oflag=append conv=notrunc status=none
    sha256sum < /root/kinds.raw
"""
MAKE = """
    modprobe -q dm-thin-pool
    lvcreate -qq -y --type thin-pool -L 128M --poolmetadatasize 4M -n thin vg0
    mkdir -p -m 711 /srv/other /srv/shared
"""
AWAY = "rm -rf /srv/other /srv/shared; lvremove -qq -y vg0/thin"
POOLS = "thin --type thin --location vg0/thin", "other --type dir --location /srv/other"
FILES = "/var/lib/mcv/pool /srv/other /srv/shared"
KINDS = {
    "file": "--storage file",
    "lvm": "--storage lvm",
    "thin": "--storage thin --pool thin",
    "drbd": "--storage drbd",
    "shared": "--storage shared --pool shared",
}


class Kill(NamedTuple):
    """What is carried out, the step of its plan at which a daemon dies, and whose daemon."""

    operation: str
    step: int
    victim: int


KILLS = [
    *(Kill("create", step, COORDINATOR) for step in (1, 2, 3)),
    *(Kill("grow", step, COORDINATOR) for step in (0, 1)),
    *(Kill("move", step, COORDINATOR) for step in (1, 2, 4)),
    *(Kill("image", 3, victim) for victim in (COORDINATOR, PEER)),
]


class Stage(NamedTuple):
    """The nodes, with a pool of every type, and the digest of the image `kinds`."""

    nodes: list[Node]
    digest: str


@pytest.fixture
def stage(pair: list[Node]) -> Iterator[Stage]:
    """The nodes share no directory: the other one has the mark of the pool by hand."""
    side_by_side(lambda node: node.run(MAKE), pair)
    digest = pair[0].run(FILL, timeout=60).stdout.split()[0]
    for words in POOLS:
        mcv(pair[0], f"pool create {words}")
    mcv(pair[0], "pool create shared --type shared --location /srv/shared --on node1")
    yield Stage(pair, digest)
    bring_back(pair, "systemctl reset-failed mcvd; systemctl start mcvd")
    wait_until(lambda: told(pair[0], "list") is not None, 60, "the cluster to answer")
    for words in ("delete web1 --yes", "image delete kinds --yes"):
        pair[0].run(f"mcv {words}", check=False, timeout=120)
    for pool in ("thin", "other", "shared", "lvm"):
        pair[0].run(f"mcv pool delete {pool} --yes", check=False, timeout=60)
    side_by_side(lambda node: node.run(AWAY, check=False), pair)


def image(stage: Stage) -> str:
    return "image add kinds /root/kinds.raw --on node2"


def create(stage: Stage, kind: str) -> str:
    mcv(stage.nodes[0], "image add kinds /root/kinds.raw")
    return created(kind)


def created(kind: str) -> str:
    return f"create web1 --memory 16MiB --image kinds {KINDS[kind]}"


def grow(stage: Stage, kind: str) -> str:
    mcv(stage.nodes[0], create(stage, kind))
    return "disk grow web1 1 24MiB"


def move(stage: Stage, kind: str) -> str:
    mcv(stage.nodes[0], create(stage, kind))
    return f"disk move web1 1 {'--pool other' if kind == 'file' else '--storage file'}"


BEGIN: dict[str, Callable[[Stage, str], str]] = {
    "create": create,
    "grow": grow,
    "move": move,
    "image": lambda stage, kind: image(stage),
}


def disks(node: Node) -> list[dict[str, Any]]:
    vm = reality.document(node)["vms"].get("web1")
    return list(vm["disks"]) if vm else []


def left_over(stage: Stage) -> dict[str, set[str]]:
    """Files and volumes of each node that are no disk there."""
    found = {}
    for node in stage.nodes:
        of_vms = {disk["volume"] for disk in disks(node)}
        files = node.run(f"ls {FILES}").stdout.split()
        present = {name for name in (*files, *reality.volumes(node)) if name.startswith("mcv-")}
        if stray := present - of_vms:
            found[node.name] = stray
    return found


def digests(stage: Stage) -> set[str]:
    """The digest of the image's bytes in the only disk, on each node that has them."""
    (disk,) = disks(stage.nodes[0])
    # DRBD has the size of its volume in places of before.
    places = disk.get("places") or disk.get("volume_groups") or {"node1": "/srv/shared"}
    return {_digest(node, disk, places[node.name]) for node in stage.nodes if node.name in places}


def _digest(node: Node, disk: dict[str, Any], place: str) -> str:
    if disk["storage"] in ("file", "shared"):
        path = f"{place}/{disk['volume']}"
        read = f"qemu-img convert -f qcow2 -O raw {path} /root/read"
    else:
        path = f"/dev/{place.split('/')[0]}/{disk['volume']}"
        read = f"dd if={path} of=/root/read bs=1M count={SIZE // MIB} iflag=direct status=none"
    words = f"{read} && head -c {SIZE} /root/read | sha256sum; rm -f /root/read"
    return node.run(words, timeout=60).stdout[:64]


def is_well(stage: Stage) -> bool:
    try:
        return not left_over(stage) and len(disks(stage.nodes[0])) in (0, 1)
    except LabError:
        return False


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kill", KILLS, ids=lambda kill: "-".join(map(str, kill)))
def test_a_daemon_killed_in_the_middle_of_a_disk_s_operation(
    stage: Stage, kill: Kill, kind: str
) -> None:
    command = BEGIN[kill.operation](stage, kind)
    running = under_way(stage.nodes[0], command, kill.step)

    stage.nodes[kill.victim].run(KILL)

    said = ended(running)
    assert said.split()[-1] in ("0", "1", "4"), said
    settle(stage.nodes)
    wait_until(lambda: is_well(stage), 60, f"nothing to be left over: {left_over(stage)}")
    if kill.operation in ("grow", "move"):
        assert disks(stage.nodes[0]), said
    if not disks(stage.nodes[0]):
        if not told(stage.nodes[0], "image list"):
            mcv(stage.nodes[0], image(stage))
        mcv(stage.nodes[0], created(kind))
    assert digests(stage) == {stage.digest}
    mcv(stage.nodes[0], "start web1")
    mcv(stage.nodes[0], "stop web1")
