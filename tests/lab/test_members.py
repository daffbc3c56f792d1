"""Three and four nodes, DRBD VMs on any two of them; hosts installed anew; who was removed."""

import pytest

from tests.lab import Lab, Node, guests, reality, wait_until
from tests.lab.cluster import PASSWORD_FILE, join, mcv, reset, settle, told
from tests.lab.image import PASSWORD
from tests.lab.lab import side_by_side


def add(first: Node, node: Node) -> None:
    mcv(
        first,
        f"cluster add-node --node {node.name} --ip-address {node.address} "
        "--password-file /root/password --yes",
    )


def all_online(nodes: list[Node]) -> bool:
    said = [told(node, "info") for node in nodes]
    names = sorted(node.name for node in nodes)
    return (
        len({info["hash"] for info in said}) == 1
        and all(
            sorted(one["name"] for one in info["nodes"] if one["status"] == "online") == names
            for info in said
        )
        and not any(info["attention"] for info in said)
    )


def well(node: Node, resource: str) -> bool:
    view = reality.drbd(node, resource)
    return view is not None and view.is_well


def secret_of(node: Node) -> str:
    """The secret that the kernel has for web1's disk."""
    shown = node.run("drbdsetup show mcv-web1-1 | grep shared-secret", check=False).stdout
    return shown.strip().removeprefix("shared-secret").strip(' \t";\n')


def times_parted(node: Node) -> str:
    """How often web1's disk has lost its peer, by the kernel's log."""
    return node.run("dmesg | grep -c 'mcv-web1-1.*conn( Connected ->'", check=False).stdout


@pytest.fixture
def four(lab: Lab, machines: list[Node]) -> list[Node]:
    nodes = lab.up(4)
    side_by_side(reset, nodes)
    join(nodes[:3])
    settle(lab, nodes[:3])
    return nodes


@pytest.mark.soak
def test_four_nodes_have_vms_with_disks_on_any_two_and_lose_one_after_the_other(
    four: list[Node], lab: Lab
) -> None:
    one, two, three, four_ = four
    two.put(f"{PASSWORD}\n", PASSWORD_FILE)
    add(two, four_)
    wait_until(lambda: all_online(four), 30, "four nodes being online")
    for node in four:
        node.put(guests.idle(), "/root/guest.img")
    common = "--memory 16MiB --disk 8MiB --image /root/guest.img --network lan"
    refused = mcv(one, f"create web1 {common}", code=3)
    assert "--nodes" in refused.stderr
    mcv(one, f"create web1 {common} --nodes node1,node3 --node node3")
    mcv(two, f"create web2 {common} --nodes node2,node4 --node node4")
    assert reality.volumes(one) == reality.volumes(three) == {"mcv-web1-1"}
    assert reality.volumes(two) == reality.volumes(four_) == {"mcv-web2-1"}
    assert "node2" in mcv(one, "migrate --node node2 web1", code=3).stderr
    mcv(two, "migrate --node node1 web1")
    mcv(one, "start web1")
    mcv(one, "start web2")
    assert reality.domain(one, "web1") == reality.domain(four_, "web2") == "running"
    assert mcv(two, "verify --all").code == 0

    four_.kill()

    assert "node4" in mcv(one, "permission add carol", code=3).stderr
    mcv(three, "node offline node4 --confirm-dead --yes")
    mcv(three, "register web2 --node node2 --accept-stale --yes")
    mcv(three, "start web2")
    assert reality.domain(two, "web2") == "running"
    four_.boot()
    wait_until(lambda: all_online(four), 60, "node4 being online again")
    wait_until(lambda: well(four_, "mcv-web2-1"), 60, "its replica being in step")
    assert reality.domains(four_) == set()

    assert "web2" in mcv(one, "cluster remove-node --node node4 --yes", code=3).stderr
    mcv(one, "stop web2")
    mcv(one, "delete web2 --yes")
    secret = secret_of(one)
    assert secret == secret_of(three) and secret
    three.kill()
    mcv(two, "node offline node3 --confirm-dead --yes")
    mcv(one, "cluster remove-node --node node4 --yes")
    assert list(reality.document(four_)["nodes"]) == ["node4"]
    wait_until(lambda: secret_of(one) != secret, 30, "node1 to have a new secret")
    three.boot()
    wait_until(lambda: all_online(four[:3]), 60, "three being left")
    wait_until(lambda: secret_of(three) == secret_of(one), 60, "node3 to have the new secret")
    wait_until(lambda: well(one, "mcv-web1-1"), 30, "the replicas to be in step")
    for node in (one, two, three):
        kept = node.run(f"cat /var/lib/mcv/{node.name}/pki/drbd-secret*").stdout.split()
        assert kept == [secret_of(one)]
    assert four_.run("ls /var/lib/mcv/node4/pki").stdout.count("drbd-secret") == 0

    # The new secret is what they meet with from now on; a connection that lasts is not cut.
    lost = times_parted(one)
    mcv(one, "cluster remove-node --node node2 --yes")
    wait_until(lambda: secret_of(one) == secret_of(three) not in kept, 30, "another secret")
    assert times_parted(one) == lost
    three.run("drbdadm disconnect mcv-web1-1; drbdadm connect mcv-web1-1")
    wait_until(lambda: well(one, "mcv-web1-1"), 30, "the replicas to meet again")
    lab.node(4).kill()


def test_a_host_installed_anew_at_an_old_address_is_not_the_member_that_it_was(
    pair: list[Node],
) -> None:
    one, two = pair
    two.renew()
    two.boot()

    wait_until(lambda: "node2" in str(told(one, "info")["attention"]), 30, "its being noticed")
    before = reality.document(one)
    statuses = {node["name"]: node["status"] for node in told(one, "info")["nodes"]}
    assert statuses == {"node1": "online", "node2": "unreachable"}
    assert "node2" in mcv(one, "permission add carol", code=3).stderr
    assert list(reality.document(two)["nodes"]) == ["node2"]
    assert reality.document(one) == before

    mcv(one, "node offline node2 --confirm-dead --yes")
    mcv(one, "cluster remove-node --node node2 --force --yes")
    one.run("ssh-keygen -R 10.99.0.2; rm -f /root/.ssh/known_hosts", check=False)
    add(one, two)
    wait_until(lambda: all_online(pair), 30, "node2 being a member again")
