"""What a crash interrupts is finished or undone: a VM is there whole, or not at all."""

from collections.abc import Iterator

import pytest

from tests.lab import LabError, Node, guests, reality, wait_until
from tests.lab.cluster import mcv, told

RESOURCE = "mcv-web1-1"
LV = f"/dev/vg0/{RESOURCE}"
FILE = f"/etc/drbd.d/{RESOURCE}.res"
XML = "/etc/libvirt/qemu/web1.xml"
CREATE = "mcv create web1 --memory 16MiB --disk 8MiB --image /root/web1.img --network lan"
DELETE = "mcv delete web1 --yes"
# kill -9 of mcvd alone: what it runs (lvcreate, drbdadm) comes to its end.
KILL = "systemctl kill --kill-whom=main --signal=KILL mcvd"


@pytest.fixture
def ready(pair: list[Node]) -> Iterator[list[Node]]:
    pair[0].put(guests.idle(), "/root/web1.img")
    yield pair
    for node in pair:
        if not node.is_running:
            node.boot()
        node.run("systemctl reset-failed mcvd; systemctl start mcvd")


def parts(nodes: list[Node]) -> dict[str, set[str]]:
    """All that VMs are made of, on every node, and all that an operation leaves half-way."""
    found = {"documents": {name for node in nodes for name in reality.document(node)["vms"]}}
    for node in nodes:
        found |= {
            f"domains of {node.name}": reality.domains(node),
            f"volumes of {node.name}": reality.volumes(node),
            f"resources of {node.name}": reality.kernel_resources(node),
            f"files of {node.name}": reality.resource_files(node),
        }
    return found


def is_whole(nodes: list[Node]) -> bool:
    """web1 is there, with its disk on both nodes, in step, and nothing else is."""
    owner = reality.document(nodes[0])["vms"].get("web1", {}).get("node")
    disks = {RESOURCE}
    wanted = {"documents": {"web1"}}
    for node in nodes:
        wanted |= {
            f"domains of {node.name}": {"web1"} if node.name == owner else set(),
            f"volumes of {node.name}": disks,
            f"resources of {node.name}": disks,
            f"files of {node.name}": disks,
        }
    if parts(nodes) != wanted:
        return False
    views = [reality.drbd(node, disk) for node in nodes for disk in disks]
    return all(view is not None and view.is_well for view in views)


def is_gone(nodes: list[Node]) -> bool:
    return not any(parts(nodes).values())


def is_settled(nodes: list[Node]) -> bool:
    """No claim is held and no journal holds an entry, on any node; all are in touch."""
    try:
        claims = told(nodes[0], "locks list")["claims"]
        status = [node["status"] for node in told(nodes[0], "info")["nodes"]]
    except (AssertionError, LabError):
        return False
    listed = "ls /var/lib/mcv/$(hostname)/journal 2> /dev/null"
    left = [node.run(listed, check=False).stdout for node in nodes]
    documents = [reality.document(node) for node in nodes]
    same = all(document == documents[0] for document in documents)
    return not claims and not any(left) and status == ["online"] * len(nodes) and same


def settle(nodes: list[Node]) -> None:
    """Give the daemons time, and a hint, to finish or undo what is left."""
    try:
        wait_until(lambda: is_settled(nodes), 40, "everything to be settled")
    except LabError:
        nodes[0].run("mcv repair", check=False, timeout=120)
        wait_until(lambda: is_settled(nodes), 40, "everything to be settled")
    assert is_whole(nodes) or is_gone(nodes), parts(nodes)


def interrupted(node: Node, command: str, when: str, how: str = KILL) -> int:
    """Run a command and, as soon as something is so on its node, do something bad there."""
    script = f"""
        {command} > /root/said 2>&1 &
        for _ in $(seq 600); do if {when}; then break; fi; sleep 0.05; done
        {how}
        wait %1
        echo $?
    """
    return int(node.run("bash -s", stdin=script, timeout=180).stdout.split()[-1])


@pytest.mark.parametrize(
    "when",
    [f"[ -e {LV} ]", f"[ -e {FILE} ]", "grep -q 'cs:Connected' /proc/drbd", f"[ -e {XML} ]"],
    ids=["with volumes", "with a resource file", "connected", "defined"],
)
def test_a_daemon_killed_while_it_creates(ready: list[Node], when: str) -> None:
    node1, _ = ready

    code = interrupted(node1, CREATE, when)

    assert code != 3
    settle(ready)
    if is_whole(ready):
        mcv(node1, "delete web1 --yes")
    assert is_gone(ready)


@pytest.mark.parametrize(
    "when",
    [f"[ ! -e {XML} ]", f"[ ! -e {FILE} ]", f"[ ! -e {LV} ]"],
    ids=["undefined", "without a resource", "without volumes"],
)
def test_a_daemon_killed_while_it_deletes(ready: list[Node], when: str) -> None:
    node1, _ = ready
    mcv(node1, CREATE.removeprefix("mcv "))

    interrupted(node1, DELETE, when)

    settle(ready)
    if is_whole(ready):
        mcv(node1, "delete web1 --yes")
    assert is_gone(ready)


def test_a_peer_s_daemon_killed_while_its_part_is_made(ready: list[Node]) -> None:
    node1, node2 = ready
    watcher = node2.start(f"until [ -e {FILE} ]; do sleep 0.05; done; {KILL}")

    told_ = node1.run(CREATE, check=False, timeout=180)

    watcher.communicate(timeout=60)
    assert told_.code in (0, 1, 4), told_
    settle(ready)
    if is_whole(ready):
        mcv(node1, "delete web1 --yes")
    assert is_gone(ready)
