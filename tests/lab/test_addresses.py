"""A living node gets other addresses, and the guest that it runs writes on."""

import pytest

from tests.lab import Node, guests, reality, wait_until
from tests.lab.cluster import create, mcv, told

RESOURCE = "mcv-web1-1"
DEVICE = "$(ip -o address show | grep -F {address}/ | awk '{{print $2}}')"


@pytest.mark.soak
def test_addresses_of_both_nodes_change_one_after_the_other(pair: list[Node]) -> None:
    node1, node2 = pair
    create(node1, "web1", image=guests.writer())
    mcv(node1, "start web1")
    former = {node.name: node.address for node in pair}
    refused = mcv(node1, "node set node2 --ip-address 10.99.0.202", code=3)
    assert "node2 has no address 10.99.0.202" in refused.stderr

    for number, node in enumerate(pair, 1):
        new = f"10.99.0.20{number}"
        device = DEVICE.format(address=former[node.name])
        node.run(f"ip address add {new}/24 dev {device}")
        mcv(node1, f"node set {node.name} --ip-address {new} --drbd-address {new}")
        assert reality.is_in_step(node1, RESOURCE) or reality.drbd(node1, RESOURCE) is not None
        for each in pair:
            shown = each.run(f"drbdsetup show {RESOURCE}").stdout
            assert f"{new}:" in shown and f"{former[node.name]}:" not in shown, shown
        assert reality.domain(node1, "web1") == "running"
        listening = node.run("ss -Hltn sport = :8420").stdout
        assert f" {new}:" in listening and f" {former[node.name]}:" not in listening
        wait_until(lambda: reality.is_in_step(node1, RESOURCE), 60, "the replicas to be in step")

    for node in pair:
        node.run("systemctl restart mcvd")
    seen = {row["name"]: row for row in told(node2, "info")["nodes"]}
    for number, node in enumerate(pair, 1):
        assert seen[node.name]["ip_address"] == f"10.99.0.20{number}"
        assert seen[node.name]["status"] == "online"
    for number, node in enumerate(pair, 1):
        mcv(
            node1,
            f"node set {node.name} --ip-address {former[node.name]}"
            f" --drbd-address {former[node.name]}",
        )
        device = DEVICE.format(address=f"10.99.0.20{number}")
        node.run(
            f"ip address del 10.99.0.20{number}/24 dev {device}; "
            "cp /var/lib/lab-mcv.conf /etc/mcv/mcv.conf"
        )
    mcv(node1, "stop web1")
    mcv(node1, "delete web1 --yes")
