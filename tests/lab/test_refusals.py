"""What bad input gets: exit 3, a message for each problem, all at once, and nothing changed."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.lab import Lab, Node, Result, guests, reality, refusal
from tests.lab.cluster import create, join, mcv, reset, revive
from tests.lab.lab import side_by_side
from tests.lab.refusal import complains_of, refused

MIB = 1 << 20
Before = dict[str, dict[str, str]]


@dataclass
class Furnished:
    """A cluster with the VM web1 on node1, stopped, and what lies on both nodes' disks."""

    nodes: list[Node]
    before: Before


@pytest.fixture(scope="module")
def once_furnished(lab: Lab) -> Furnished:
    nodes = revive(lab, 2)
    side_by_side(reset, nodes)
    join(nodes)
    node1, _ = nodes
    create(node1, "web1")
    node1.put(guests.idle(), "/root/good.img")
    node1.put(guests.idle() + bytes(16 * MIB), "/root/large.img")
    node1.run(
        "cd /root && qemu-img create -q -f qcow2 -b good.img -F raw backed.qcow2 &&"
        "qemu-img convert -O vmdk good.img other.vmdk && mkdir directory &&"
        "chmod 600 good.img"
    )
    return Furnished(nodes, reality.snapshots(nodes))


@pytest.fixture
def furnished(once_furnished: Furnished, machines: list[Node]) -> Furnished:
    return once_furnished


@pytest.fixture(scope="module")
def answers(once_furnished: Furnished) -> dict[str, Result]:
    """What each of the commands below is answered on node1.

    They are given one after the other over one connection, which spares a minute; that they
    change nothing is asked once, after the last.
    """
    return refusal.answers(once_furnished.nodes[0], [row[0] for row in IN_A_CLUSTER])


NEW = "create new --memory 16MiB --disk 8MiB"
LONG = "a" * 64

IN_A_CLUSTER = [
    ("create web1 --memory 16MiB", "a VM web1 already"),
    ("create Web_2 --memory 16MiB", "'Web_2' is no name for a VM"),
    ("create --memory 16MiB -- -web", "'-web' is no name"),
    ("create web- --memory 16MiB", "'web-' is no name"),
    (f"create {LONG} --memory 16MiB", f"'{LONG}' is no name"),
    ("create new --memory 0MiB", "memory cannot be 0"),
    ("create new --memory 0", "'0' is no size for the memory"),
    ("create new --memory 12parsecs", "'12parsecs' is no size for the memory"),
    ("create new --memory 1KiB", "1KiB makes no sense for the memory"),
    ("create new --memory 60TiB", "node1 has"),
    ("create new --memory 16MiB --cpus 0", "0 makes no sense as a number of CPUs"),
    ("create new --memory 16MiB --cpus two", "'two' is no whole number"),
    ("create new --memory 16MiB --disk -5GiB", "'-5GiB' is no size for disk 1"),
    ("create new --memory 16MiB --disk 1B", "1B makes no sense for disk 1"),
    (f"{NEW} --node node9", "node9"),
    (f"{NEW} --nodes node1,node9", "no node node9"),
    (f"{NEW} --network nowhere", "no network nowhere"),
    (f"{NEW} --storage file --nodes node1,node2", "kind file is on one node"),
    (f"{NEW} --storage lvm --pool default", "kind lvm does not lie in a pool of type dir"),
    (f"{NEW} --storage tape", "no storage tape"),
    (f"{NEW} --pool fast", "no pool fast"),
    (
        "create new --memory 16MiB --disk 100GiB",
        "Pool lvm (vg0) on node1 has",
        "Pool lvm (vg0) on node2 has",
    ),
    (f"{NEW} --image /root/missing.img", "/root/missing.img cannot be read: No such file"),
    (f"{NEW} --image /root/directory", "no regular file"),
    (f"{NEW} --image /root/large.img", "The image needs 17MiB, the first disk has 8MiB"),
    (f"{NEW} --image /root/backed.qcow2", "has a backing file"),
    (f"{NEW} --image /root/other.vmdk", "The image is vmdk"),
    ("migrate --node node1 web1", "web1 is on node1 already"),
    ("migrate --node node9 web1", "no node node9"),
    ("migrate --node node2 nothing", "no VM nothing"),
    ("migrate --node node2 --online web1", "only a VM that runs moves online"),
    ("update web1 --memory 0MiB", "memory cannot be 0"),
    ("update web1 --memory 1KiB --cpus 0", "1KiB makes no sense", "0 makes no sense"),
    ("info nothing", "no VM nothing"),
    ("lock nothing", "no VM nothing"),
    ("resync web1 --source node9 --yes", "node9 holds no replica of web1"),
    ("register web1 --node node2 --yes", "which is online"),
    ("unregister nothing", "no VM nothing"),
    ("network create lan --bridge br-dmz", "network lan already"),
    ("network create Dmz! --bridge br-dmz", "'Dmz!' is no name for a network"),
    ("network create dmz --bridge br-none", "node1 has no bridge br-none", "node2 has no bridge"),
    ("network delete nowhere", "no network nowhere"),
    ("drbd set speed=fast", "speed"),
    ("drbd set resync-rate=fast", "'fast' is no size"),
    ("cluster remove-node --node node9 --yes", "no node node9"),
    ("cluster remove-node --node node2 --yes", "node2 holds a replica of web1"),
    ("cluster remove-node --node node1 --yes", "node1 owns web1"),
    (
        "cluster add-node --node node2 --ip-address 10.99.0.2",
        "is the address of node2",
        "node2 is a member already",
    ),
    ("node offline node9 --yes", "no node node9"),
    ("node offline node2 --confirm-dead --yes", "node2 answers, so it is not dead"),
    ("node online node2", "node2 is online already"),
    ("permission add 'a b'", "'a b' is no user name"),
    ("locks clear nothing --yes", "nothing"),
    ("job show nothing", "no job nothing"),
]


@pytest.mark.parametrize(
    ("words", "messages"), [(row[0], row[1:]) for row in IN_A_CLUSTER], ids=lambda value: None
)
def test_bad_input_is_refused(
    answers: dict[str, Result], words: str, messages: tuple[str, ...]
) -> None:
    complains_of(answers[words], *messages)


def test_bad_input_changes_nothing_on_either_side(
    answers: dict[str, Result], furnished: Furnished
) -> None:
    assert len(answers) == len(IN_A_CLUSTER)
    assert reality.snapshots(furnished.nodes) == furnished.before


def test_all_that_is_wrong_is_told_at_once(furnished: Furnished) -> None:
    node1, _ = furnished.nodes

    refused(
        node1,
        "create Web_1 --memory 12parsecs --cpus 0 --disk 0GB --storage file --pool fast "
        "--nodes node1,node9 --network nowhere --network lan",
        "'Web_1' is no name",
        "'12parsecs' is no size",
        "0 makes no sense as a number of CPUs",
        "disk 1 cannot be 0",
        "no pool fast",
        "no node node9",
        "no network nowhere",
    )

    assert reality.snapshots(furnished.nodes) == furnished.before


def test_several_vms_of_which_none_is_there(furnished: Furnished) -> None:
    node1, _ = furnished.nodes

    for words in ("start", "stop", "shutdown", "reset", "delete --yes", "verify"):
        told = mcv(node1, f"{words} nothing neither", code=3).stderr
        assert "no VM nothing" in told and "no VM neither" in told
    assert reality.snapshots(furnished.nodes) == furnished.before


@pytest.mark.parametrize("full", [pytest.param(0, marks=pytest.mark.soak), 1])
def test_a_volume_group_without_room_on_one_node(furnished: Furnished, full: int) -> None:
    node1, _ = furnished.nodes
    crowded = furnished.nodes[full]
    crowded.run("lvcreate -qq -y -l 100%FREE -n crowd vg0")
    before = reality.snapshots(furnished.nodes)

    try:
        refused(node1, NEW, f"Pool lvm (vg0) on {crowded.name} has 0B free")
        assert reality.snapshots(furnished.nodes) == before
    finally:
        crowded.run("lvremove -qq -y vg0/crowd")


@pytest.fixture
def mcvd_stopped_on_node2(furnished: Furnished) -> Iterator[None]:
    node2 = furnished.nodes[1]
    node2.run("systemctl kill --signal=KILL mcvd; systemctl stop mcvd")
    yield
    node2.run("systemctl start mcvd")


def test_no_change_is_made_while_a_peer_does_not_answer(
    furnished: Furnished, mcvd_stopped_on_node2: None
) -> None:
    node1, _ = furnished.nodes
    before = reality.snapshots(furnished.nodes)

    for words in (NEW, "delete web1 --yes", "migrate --node node2 web1", "update web1 --cpus 2"):
        assert "node2" in mcv(node1, words, code=3).stderr
    assert "node2" in mcv(node1, "permission add alice", code=3).stderr

    assert reality.snapshots(furnished.nodes) == before


def test_a_file_is_read_with_the_rights_of_who_typed_its_name(furnished: Furnished) -> None:
    node1, _ = furnished.nodes

    told = node1.run(
        f"SUDO_USER=nobody SUDO_UID=65534 SUDO_GID=65534 mcv {NEW} --image /root/good.img",
        check=False,
    )

    assert told.code == 3 and "Permission denied" in told.stderr
    assert reality.snapshots(furnished.nodes) == furnished.before


def test_nobody_but_root_gets_an_answer(furnished: Furnished) -> None:
    node1, _ = furnished.nodes
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups"

    for words in ("list", "info --json", "delete web1 --yes", "nonsense"):
        told = node1.run(f"{nobody} mcv {words}", check=False)
        assert (told.code, told.stdout, told.stderr.count("\n")) == (3, "", 1), words
        assert "root" in told.stderr
    socket = "import socket as s; s.socket(s.AF_UNIX).connect('/run/mcv/mcvd.sock')"
    told = node1.run(f'{nobody} python3 -c "{socket}"', check=False)
    assert "PermissionError" in told.stderr

    assert reality.snapshots(furnished.nodes) == furnished.before


def test_permissions_hold_back_who_is_no_superuser(furnished: Furnished) -> None:
    node1, node2 = furnished.nodes
    alice, bob = "SUDO_USER=alice SUDO_UID=1002", "SUDO_USER=bob SUDO_UID=1001"
    mcv(node1, "permission add alice")
    before = reality.snapshots(furnished.nodes)

    for node in (node1, node2):
        for words in ("start web1", "lock web1", "permission add bob", f"{NEW} --yes"):
            told = node.run(f"{bob} mcv {words}", check=False)
            assert told.code == 3 and "bob lacks the right" in told.stderr, told
    seen = node1.run(f"{bob} mcv list", check=False)
    assert seen.code == 3 and "bob lacks the right view" in seen.stderr, seen
    assert reality.snapshots(furnished.nodes) == before

    node2.run(f"{alice} mcv lock web1")
    document = reality.document(node1)
    assert document["vms"]["web1"]["locked"] and document["change"]["who"] == "alice"
    node1.run(f"{alice} mcv unlock web1 && {alice} mcv permission remove alice")
    assert not reality.document(node2)["permissions"]["superusers"]
