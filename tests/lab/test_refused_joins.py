"""Who cannot join, and why: exit 3, every reason at once, and nothing changed on any side."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab import Node, reality, wait_until
from tests.lab.cluster import PASSWORD_FILE, is_blank, mcv
from tests.lab.image import PASSWORD
from tests.lab.refusal import answers, complains_of
from tests.lab.refusal import refused_without_a_trace as refused

ADD = f"cluster add-node --node node2 --ip-address 10.99.0.2 --password-file {PASSWORD_FILE} --yes"


CONF = "/etc/mcv/mcv.conf; systemctl restart mcvd"
SET_ADDRESS = "sed -i '$ a address ="


def own_address(node: Node) -> str:
    """The cluster address that a node has in its own document."""
    document = reality.document(node)
    return str(document["nodes"][node.name]["ip_address"])


@pytest.fixture
def apart(strangers: list[Node]) -> list[Node]:
    """Two blank nodes; node1 knows the other's root password."""
    strangers[0].put(f"{PASSWORD}\n", PASSWORD_FILE)
    return strangers


@contextmanager
def clock_off(node: Node, seconds: int) -> Iterator[None]:
    """A node whose clock is wrong; set by the host's afterwards, as at its boot."""
    node.run(f"date --set=@{time.time() + seconds:.3f}")
    try:
        yield
    finally:
        node.run(f"date --set=@{time.time():.3f}")


BAD_INPUT = [
    (ADD.replace("--node node2", "--node Node_2"), "'Node_2' is no name for a node"),
    (ADD.replace("10.99.0.2", "10.99.0"), "'10.99.0' is no IP address"),
    (ADD.replace("10.99.0.2", "127.0.0.1"), "127.0.0.1 is no address that another node"),
    (ADD.replace("10.99.0.2", "10.99.0.1"), "10.99.0.1 is the address of node1"),
    (ADD.replace("10.99.0.2", "10.99.0.77"), "10.99.0.77 does not answer to SSH"),
    (ADD.replace("--node node2", "--node node1"), "node1 is a member already"),
    (ADD.replace("--node node2", "--node other"), "called node2, not other"),
    (ADD.replace("--yes", ""), "nobody can compare it"),
    (ADD.replace("--yes", f"--host-key SHA256:{'A' * 43}"), f"not SHA256:{'A' * 43}"),
    (ADD.replace(PASSWORD_FILE, "/root/nothing"), "/root/nothing cannot be read"),
    (
        ADD.replace(f"--password-file {PASSWORD_FILE}", ""),
        "root has no SSH key to open 10.99.0.2",
    ),
]


def test_bad_input_is_refused_and_changes_nothing(apart: list[Node]) -> None:
    before = reality.snapshots(apart)

    found = answers(apart[0], [words for words, _ in BAD_INPUT])

    for words, message in BAD_INPUT:
        complains_of(found[words], message)
    assert reality.snapshots(apart) == before


def test_a_wrong_password(apart: list[Node]) -> None:
    apart[0].put("guess\n", PASSWORD_FILE)

    refused(apart, ADD, "10.99.0.2 does not accept this root password")


def test_a_host_key_that_is_not_the_known_one(apart: list[Node]) -> None:
    node1, node2 = apart
    node1.run("ssh-keygen -q -t ed25519 -N '' -f /root/another")
    public = node1.run("cut -d ' ' -f 1,2 /root/another.pub").stdout
    node1.put(f"10.99.0.2 {public}", "/root/.ssh/known_hosts")
    key = node2.run("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").stdout.split()[1]

    refused(apart, ADD, "is not the one that is known")
    refused(apart, ADD.replace("--yes", f"--host-key {key}"), "is not the one that is known")

    node1.run("rm /root/.ssh/known_hosts /root/another*")


def test_a_peer_whose_mcvd_does_not_run(apart: list[Node]) -> None:
    _, node2 = apart
    node2.run("systemctl stop mcvd")

    refused(apart, ADD, "mcvd does not answer on node2")

    node2.run("systemctl start mcvd")


@pytest.mark.parametrize("seconds", [-30, pytest.param(3600, marks=pytest.mark.soak)])
def test_a_peer_with_the_wrong_clock(apart: list[Node], seconds: int) -> None:
    with clock_off(apart[1], seconds):
        refused(apart, ADD, "The clock of node2 differs by")


def test_a_peer_with_vms_and_networks_and_more(apart: list[Node]) -> None:
    _, node2 = apart
    mcv(node2, "network create lan --bridge br-lan")
    mcv(node2, "create web9 --memory 16MiB")

    refused(apart, ADD, "node2 has VMs: web9", "node2 has networks: lan")
    with clock_off(node2, 60):
        refused(
            apart,
            ADD.replace("--node node2", "--node other"),
            "called node2, not other",
            "VMs: web9",
            "networks: lan",
            "The clock of other differs",
        )

    mcv(node2, "delete web9 --yes")
    mcv(node2, "network delete lan")


def test_a_peer_that_lacks_what_the_cluster_has(apart: list[Node]) -> None:
    node1, node2 = apart
    mcv(node1, "network create lan --bridge br-lan")
    mcv(node1, "drbd enable")
    node2.run(
        "ip link set br-lan down; ip link set br-lan name br-other;"
        "vgrename -q vg0 vg9 && vgchange -q -an vg9"
    )
    node2.run("echo 'volume_group = vg0' >> /etc/mcv/mcv.conf; systemctl restart mcvd")

    try:
        refused(apart, ADD, "node2 has no bridge br-lan (lan)", "there is no volume group vg0")
    finally:
        node2.run(
            "ip link set br-other name br-lan; ip link set br-lan up;"
            "vgrename -q vg9 vg0 && vgchange -q -ay vg0"
        )
        node2.run("cp /var/lib/lab-mcv.conf /etc/mcv/mcv.conf; systemctl restart mcvd")


@pytest.mark.soak
def test_a_peer_that_cannot_be_reached(apart: list[Node]) -> None:
    _, node2 = apart
    node2.run("iptables-legacy -A INPUT -p tcp --dport 8420 -j DROP")

    try:
        refused(apart, ADD, "This node does not reach mcvd of node2 at 10.99.0.2:8420")
    finally:
        node2.run("iptables-legacy -F")


@pytest.mark.soak
def test_a_dry_run_joins_nobody(apart: list[Node]) -> None:
    before = reality.snapshots(apart)

    plan = mcv(apart[0], f"{ADD} --dry-run").stdout

    assert "node.add" in plan and "node.online" in plan
    assert reality.snapshots(apart) == before
    assert all(is_blank(node) for node in apart)


def test_nodes_with_ipv6_addresses_join_and_replicate(apart: list[Node]) -> None:
    node1, node2 = apart
    add = ADD.replace("10.99.0.2", "fd00:99::2")
    node2.run(f"ip address add fd00:99::2/64 dev vec0 nodad; {SET_ADDRESS} fd00:99::2' {CONF}")
    wait_until(lambda: own_address(node2) == "fd00:99::2", 30, "its own address")
    refused(
        apart,
        ADD,
        "node2 calls fd00:99::2 its cluster address",
        "This node does not reach mcvd of node2 at 10.99.0.2",
        "The DRBD address of node2 is of IPv6",
    )
    refused(apart, add, "fd00:99::2 is of IPv6, the address of node1 is not")
    node1.run(f"ip address add fd00:99::1/64 dev vec0 nodad; {SET_ADDRESS} fd00:99::1' {CONF}")

    try:
        wait_until(lambda: own_address(node1) == "fd00:99::1", 30, "its own address")
        mcv(node1, add)
        mcv(node1, "drbd enable")
        mcv(node1, "create web6 --memory 16MiB --disk 4MiB")
        assert reality.drbd(node2, "mcv-web6-1").is_well  # type: ignore[union-attr]
        assert "ipv6 [fd00:99::2]:" in node1.run("drbdsetup show mcv-web6-1").stdout
        assert "fd00:99::2" in mcv(node1, "info").stdout
        mcv(node1, "delete web6 --yes")
    finally:
        for node in apart:
            node.run("cp /var/lib/lab-mcv.conf /etc/mcv/mcv.conf; ip -6 address flush dev vec0")
        node1.run("systemctl restart mcvd")
        node2.run("systemctl restart mcvd")


def test_a_peer_in_another_cluster(three_nodes: list[Node]) -> None:
    node1, node2, node3 = three_nodes
    for node in (node1, node2):
        node.put(f"{PASSWORD}\n", PASSWORD_FILE)
    mcv(node2, ADD.replace("node2", "node3").replace("10.99.0.2", "10.99.0.3"))

    try:
        refused(three_nodes, ADD, "node2 is in the cluster node2 with node3")
    finally:
        node3.renew()
