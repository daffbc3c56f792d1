"""Live migration of a guest that counts and writes: it never stops for good, never runs twice."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.lab import Lab, Node, guests, reality, wait_until
from tests.lab.cluster import bring_back, create, mcv, told
from tests.lab.consistency import is_settled
from tests.lab.reality import FOREIGN, FOREIGN_FILE
from tests.lab.test_kills import KILL, ended

RESOURCE = "mcv-web1-1"
LV = f"/dev/vg0/{RESOURCE}"
MIGRATE = "migrate --online --node node2 web1"
SLOW = "migrate --online --bandwidth 1MiB --node node2 web1"

# Reads, past every cache, the newest number that the guest has written, over and over: tells
# one that is older than the last, and at the end the numbers that are there.
FOLLOW = f"""
import mmap, os, struct, sys
fd = os.open("{LV}", os.O_RDONLY | os.O_DIRECT)
size = 512 * ({guests.WRITTEN} + 1)
buffer = mmap.mmap(-1, size)
def numbers():
    os.preadv(fd, [buffer], 0)
    return [struct.unpack_from("<I", buffer, at)[0] for at in range(512, size, 512)]
last = 0
while not os.path.exists("/root/enough"):
    newest = max(numbers())
    if newest < last:
        print("back from", last, "to", newest)
    last = newest
print(*sorted(numbers()))
"""

# Waits until the memory is on its way.
MOVING = """
    SECONDS=0
    until virsh domjobinfo web1 2> /dev/null | grep -q 'Data processed: *[1-9]'; do
        [ $SECONDS -lt 90 ] || exit 1
    done
"""


@pytest.fixture(scope="module", autouse=True)
def apparmor(lab: Lab) -> Iterator[None]:
    """The nodes run with AppArmor, as Debian's do: each QEMU may open what its profile names."""
    lab.secure("apparmor")
    yield
    lab.secure("")


@pytest.fixture
def web1(pair: list[Node]) -> Iterator[list[Node]]:
    """The cluster with the VM web1, which counts and writes on node1."""
    create(pair[0], "web1", image=guests.writer(64))
    mcv(pair[0], "update web1 --memory 96MiB")
    mcv(pair[0], "start web1")
    for node in pair:
        node.run("rm -f /root/enough")
    wait_until(lambda: newest(pair[0]) > 50, 90, "the guest to write")
    yield pair
    for_all = f"rm -f {FOREIGN_FILE}; touch /root/enough; systemctl reset-failed mcvd"
    bring_back(pair, f"{for_all}; systemctl start mcvd")
    wait_until(lambda: is_settled(pair), 60, "everything to be settled")
    wait_until(lambda: is_well(pair[0]), 60, "both replicas to be in step")
    pair[0].run("mcv stop web1", check=False)
    mcv(pair[0], "delete web1 --yes")


def newest(node: Node) -> int:
    """The newest number that the guest has written."""
    dump = f"dd if={LV} bs=512 skip=1 count={guests.WRITTEN} iflag=direct status=none"
    words = node.run(f"{dump} | od -A none -v -t u4 -w512 | cut -c1-11").stdout.split()
    return max(int(word) for word in words)


def is_well(node: Node) -> bool:
    return reality.is_in_step(node, RESOURCE)


def follower(node: Node) -> "subprocess.Popen[str]":
    node.put(FOLLOW.encode(), "/root/follow.py")
    return node.start("python3 /root/follow.py")


def moving(node: Node, command: str) -> "subprocess.Popen[str]":
    """Begin a migration and return when the memory is on its way."""
    running = node.start(f"timeout 200 mcv {command} 2>&1; code=$?; echo; echo $code")
    node.run(MOVING, timeout=120)
    return running


def primaries(nodes: list[Node]) -> list[str]:
    views = {node.name: reality.drbd(node, RESOURCE) for node in nodes}
    return [name for name, view in views.items() if view and view.role == "Primary"]


def is_closed(node: Node) -> bool:
    return "allow-two-primaries" not in node.run(f"drbdsetup show {RESOURCE}").stdout


def where(nodes: list[Node]) -> list[str]:
    """The nodes on which it runs; one that is paused runs nowhere."""
    return [node.name for node in nodes if reality.domain(node, "web1") == "running"]


def runs_on(nodes: list[Node], node: Node) -> None:
    """It runs there, writes on, belongs there, and is primary there alone."""
    assert where(nodes) == primaries(nodes) == [node.name]
    profile = node.run("cat /proc/$(pidof qemu-system-x86_64)/attr/current").stdout
    assert profile.startswith("libvirt-") and profile.endswith("(enforce)\n"), profile
    other = next(one for one in nodes if one is not node)
    assert reality.domain(other, "web1") == "absent"
    assert {reality.document(one)["vms"]["web1"]["node"] for one in nodes} == {node.name}
    assert all(is_closed(one) for one in nodes)
    number = newest(node)
    wait_until(lambda: newest(node) > number, 30, "the guest to write on")


def test_a_guest_that_counts_and_writes_moves_while_it_runs(web1: list[Node]) -> None:
    one, two = web1
    following = follower(two)
    for node in web1:
        node.put(FOREIGN, FOREIGN_FILE)

    cancelled = moving(one, SLOW)
    jobs = one.run("mcv job list | grep running").stdout
    mcv(one, f"job cancel {jobs.split()[0]}")
    said = ended(cancelled)
    assert said.split()[-1] == "1" and "was cancelled, and web1 runs on node1" in said, said
    assert "left" in said and "iB/s" in said  # how far it was
    runs_on(web1, one)

    mcv(one, MIGRATE)
    runs_on(web1, two)
    wait_until(lambda: newest(two) > guests.WRITTEN, 120, "the guest to have been once around")
    two.run("touch /root/enough")
    told, _ = following.communicate(timeout=60)
    assert "back" not in told
    numbers = [int(word) for word in told.split()]
    assert numbers == list(range(numbers[0], numbers[0] + guests.WRITTEN)), "a write was lost"

    # What arrived bears the mark of where it belongs now: its saved memory is not old.
    two.run("virsh managedsave web1", timeout=120)
    assert "with the memory that was saved" in mcv(two, "start web1").stdout
    runs_on(web1, two)

    assert "web1 is on node2 already" in mcv(two, MIGRATE, code=3).stderr
    assert "node3" in mcv(two, "migrate --online --node node3 web1", code=3).stderr
    mcv(two, "stop web1")
    refused = mcv(two, "migrate --online --node node1 web1", code=3).stderr
    assert "only a VM that runs moves online" in refused


def statuses(node: Node) -> list[str]:
    return [one["status"] for one in told(node, "info")["nodes"]]


def test_a_guest_leaves_a_node_that_is_drained_and_comes_back_to_it(web1: list[Node]) -> None:
    one, two = web1
    assert "web1 goes from node1 to node2, live." in mcv(one, "node drain node1 --dry-run").stdout

    mcv(one, "node drain node1")

    assert statuses(two) == ["maintenance", "online"]
    assert reality.document(two)["nodes"]["node1"]["status"] == "offline"
    assert where(web1) == primaries(web1) == ["node2"]
    number = newest(two)
    wait_until(lambda: newest(two) > number, 30, "the guest to write on")
    assert told(two, "info web1")["home"] == "node1"
    assert "node1 is drained" in mcv(two, "migrate --online web1", code=3).stderr

    mcv(one, "node restore node1")
    assert statuses(one) == ["online", "online"]
    runs_on(web1, one)
    assert "node1 runs web1" in mcv(two, "node reboot node1 --yes", code=3).stderr


@pytest.mark.parametrize(
    "death",
    [
        pytest.param("source host", marks=pytest.mark.soak),
        pytest.param("source daemon", marks=pytest.mark.soak),
        pytest.param("destination daemon", marks=pytest.mark.soak),
        pytest.param("destination host", marks=pytest.mark.soak),
        pytest.param("link", marks=pytest.mark.soak),
    ],
)
def test_whatever_dies_it_runs_on_one_side_or_is_stopped_with_one_owner(
    web1: list[Node], death: str
) -> None:
    one, two = web1
    victim = one if death.startswith("source") else two
    running = moving(one, SLOW)

    if death.endswith("daemon"):
        victim.run(KILL)
    elif death.endswith("host"):
        victim.kill()
    else:
        victim.cut()

    said = ended(running)
    assert death == "source host" or said.split()[-1] in ("0", "1", "4"), said
    if death == "link":
        assert where(web1) == ["node1"]
        victim.heal()
    elif death.endswith("host"):
        assert where([node for node in web1 if node is not victim]) in ([], ["node1"])
        victim.boot()
    wait_until(lambda: is_settled(web1), 120, "everything to be settled")
    wait_until(lambda: is_well(one), 90, "both replicas to be in step")

    owner = one if reality.document(one)["vms"]["web1"]["node"] == "node1" else two
    if death == "source host":
        wait_until(lambda: where(web1) != [], 60, "what ran when its host died to run again")
    runs_on(web1, owner)


@pytest.mark.soak
def test_a_migration_that_a_hanging_libvirtd_left_open_is_cancelled(web1: list[Node]) -> None:
    one = web1[0]
    running = moving(one, SLOW)
    job = one.run("mcv job list | grep running").stdout.split()[0]

    one.sigstop("libvirtd")
    try:
        said = ended(running)
    finally:
        one.sigcont("libvirtd")
    assert said.split()[-1] == "4" and "libvirt does not answer" in said, said
    mcv(one, f"job cancel {job}")
    told = mcv(one, f"job wait {job}", code=1, timeout=120).stderr

    assert "was cancelled, and web1 runs on node1" in told, told
    wait_until(lambda: is_settled(web1), 60, "everything to be settled")
    runs_on(web1, one)
    assert "has ended already" in mcv(one, f"job cancel {job}", code=3).stderr


@pytest.mark.soak
def test_a_source_that_dies_for_good_leaves_a_vm_that_can_be_taken_over(web1: list[Node]) -> None:
    one, two = web1
    moving(one, SLOW)

    one.kill()

    mcv(two, "node offline node1 --confirm-dead --yes")
    mcv(two, "repair")
    mcv(two, "register web1 --node node2 --yes")
    assert reality.domain(two, "web1") == "shut off" and is_closed(two)
    before = newest(two)
    mcv(two, "start web1")
    wait_until(lambda: newest(two) != before, 90, "the guest to write")
    one.boot()
    wait_until(lambda: is_settled(web1), 120, "everything to be settled")
    wait_until(lambda: is_well(two), 90, "both replicas to be in step")
    runs_on(web1, two)


POOL = "/var/lib/mcv/pool"
# The numbers that a guest has written to its file, told when it has ended.
NUMBERS = f"""
    qemu-img convert -O raw {POOL}/*.qcow2 /root/read
    dd if=/root/read bs=512 skip=1 count={guests.WRITTEN} status=none |
        od -A none -v -t u4 -w512 | cut -c1-11
    rm /root/read
"""
FILL = """
    seq -f '%015.0f' 1 1048576 | dd of=/dev/vg0/mcv-web1-2 bs=1M conv=notrunc,fsync status=none
    seq -f '%015.0f' 8 1048583 | dd of=/dev/drbd100 bs=1M conv=notrunc,fsync status=none
"""


@pytest.fixture
def mixed(pair: list[Node]) -> Iterator[list[Node]]:
    """The VM web1, which counts and writes to a file; beside it an lvm and a replicated disk."""
    one = pair[0]
    options = "--storage file --image-format raw"
    create(one, "web1", options, image=guests.writer(16), disk="32MiB")
    mcv(one, "update web1 --memory 48MiB")
    mcv(one, "start web1")
    mcv(one, "disk add web1 16MiB --storage lvm")
    mcv(one, "disk add web1 16MiB --storage drbd")
    one.run(FILL, timeout=60)
    yield pair
    bring_back(pair, "systemctl reset-failed mcvd; systemctl start mcvd")
    wait_until(lambda: is_settled(pair), 120, "everything to be settled")
    one.run("mcv stop web1", check=False)
    mcv(one, "delete web1 --yes")


def volumes(node: Node) -> set[str]:
    """Local volumes and files of web1 on a node."""
    files = node.run(f"ls {POOL}").stdout.split()
    return {*files, *(name for name in reality.volumes(node) if "web1-3" not in name)}


def written(node: Node) -> list[int]:
    return sorted(int(word) for word in node.run(NUMBERS, timeout=60).stdout.split())


def digests(node: Node) -> list[str]:
    return [reality.digest(node, f"/dev/vg0/mcv-web1-{disk}", 16) for disk in (2, 3)]


def test_a_guest_takes_its_disks_along_while_it_writes(mixed: list[Node]) -> None:
    one, two = mixed
    before = digests(one)

    cancelled = one.start(f"timeout 200 mcv {SLOW} 2>&1; code=$?; echo; echo $code")
    one.run(MOVING, timeout=120)
    assert volumes(two) != set()
    jobs = one.run("mcv job list | grep running").stdout
    mcv(one, f"job cancel {jobs.split()[0]}")
    said = ended(cancelled)
    assert "was cancelled, and web1 runs on node1" in said and "left" in said, said
    assert where(mixed) == ["node1"] and volumes(two) == set()

    mcv(one, MIGRATE)

    assert where(mixed) == ["node2"] and reality.domain(one, "web1") == "absent"
    assert volumes(one) == set() and len(volumes(two)) == 2
    vm = reality.document(one)["vms"]["web1"]
    assert vm["node"] == "node2" and vm == reality.document(two)["vms"]["web1"]
    assert digests(two) == before
    sockets = [node.run("ls /run/libvirt/mcv").stdout for node in mixed]
    assert not any("web1" in names for names in sockets), sockets
    mcv(two, "stop web1")
    numbers = written(two)
    assert numbers[-1] > 50
    newest = numbers[numbers.index(max(numbers))]
    assert numbers[-min(newest, guests.WRITTEN) :] == list(
        range(newest - min(newest, guests.WRITTEN) + 1, newest + 1)
    ), "a write was lost"


# Changes the parameters of node1's libvirt as /root/lie.json says: a member that lies.
LIE = """
    cd /opt/mcv/lib/python3*/site-packages/mcv/drivers && cp -n libvirt_migration.py /root/honest.py
    sed -i 's|^        with self._connection.own_connection(name, "migrate")|\\
        import json; params.update(json.load(open("/root/lie.json")))\\n&|' libvirt_migration.py
    systemctl restart mcvd
"""
HONEST = """
    cp /root/honest.py /opt/mcv/lib/python3*/site-packages/mcv/drivers/libvirt_migration.py
    systemctl restart mcvd
"""
# With the key of the node that it runs on: a stream to another member's libvirt, and what a
# client gets there.
STREAM = """
import functools, json, sys
from pathlib import Path
import libvirt
from mcv import settings
from mcv.document.model import decode
from mcv.errors import McvError
from mcv.rpc import pki
from mcv.rpc.peers import Address, Peers
from mcv.rpc.tunnel import tunnel
conf = settings.load()
member = decode((conf.state / "config.json").read_bytes()).nodes[sys.argv[1]]
address = Address(member.ip_address, conf.port, member.certificate)
peers = Peers(pki.load(conf.node, conf.pki), lambda _: address)
path = Path("/root/lie.sock")
asked = {"vm": "web1", "for": "libvirt"}
def attempt(name, do):
    with tunnel(path, sys.argv[1], asked, peers.stream):
        try:
            connection = libvirt.open(f"qemu+unix:///system?socket={path}")
            print(name, "PASSED", do(connection))
        except libvirt.libvirtError as error:
            print(name, "refused:", error)
xml = "<domain type='qemu'><name>evil</name><memory>1024</memory><os><type>hvm</type></os></domain>"
attempt("list", lambda one: one.listAllDomains(0))
attempt("define", lambda one: one.defineXML(xml))
attempt("create", lambda one: one.createXML(xml, 0))
attempt("read", lambda one: one.lookupByName("web1"))
attempt("pool", lambda one: one.storagePoolCreateXML("<pool type='dir'/>", 0))
"""
PYTHON = "/opt/mcv/bin/python3"


@pytest.mark.soak
def test_a_member_that_lies_gets_nothing_of_libvirt_but_the_migration(web1: list[Node]) -> None:
    one, two = web1
    for node in web1:
        node.put(STREAM.encode(), "/root/stream.py")
    said = two.run(f"{PYTHON} /root/stream.py node1").stdout
    assert said.count("refused") == 5 and "PASSED" not in said, said

    running = moving(one, SLOW)
    said = one.run(f"{PYTHON} /root/stream.py node2").stdout
    jobs = one.run("mcv job list | grep running").stdout
    mcv(one, f"job cancel {jobs.split()[0]}")
    ended(running)
    assert said.count("does not let it through") == 5 and "PASSED" not in said, said
    log = two.run("journalctl -u mcvd -o cat | grep 'a stream of node1 was stopped'").stdout
    assert log.count("is no part of a migration") >= 5, log

    xml = one.run("virsh dumpxml --migratable web1").stdout
    one.put(b"{}", "/root/lie.json")
    one.run(LIE)
    plan = f"mcv {MIGRATE} --dry-run"  # its daemon has begun anew
    wait_until(lambda: one.run(plan, check=False).code == 0, 30, "node1 to be in contact")
    for lie in (
        {"destination_xml": xml.replace("/dev/drbd100", "/dev/ubda")},
        {"destination_name": "web9", "destination_xml": xml},
        {"migrate_uri": "unix:///run/libvirt/mcv/other"},
    ):
        one.put(json.dumps(lie).encode(), "/root/lie.json")
        refused = mcv(one, MIGRATE, code=1).stderr
        assert "does not let it through" in refused, refused
    one.run(HONEST)
    wait_until(lambda: is_settled(web1), 60, "everything to be settled")
    runs_on(web1, one)
    assert reality.domains(two) <= {"web1"}
