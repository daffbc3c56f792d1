"""Cards that come, change and go while their guest runs on real libvirt, and VLANs of bridges."""

import json
from pathlib import Path
from typing import Any

import pytest

from mcv.document.networks import tagged_bridge, tagged_port
from tests.lab import Node, wait_until
from tests.lab.cluster import create, mcv, told

MAC = "52:54:00:00:00:0a"
SECOND = "52:54:00:00:00:0b"
FRAMES = Path(__file__).with_name("frames.py")


def connected(node: Node) -> dict[str, str]:
    """The bridges of the added cards that the domain has now, by MAC."""
    lines = node.run("virsh -q domiflist web1").stdout.splitlines()
    found = {words[4]: words[2] for line in lines if len(words := line.split()) == 5}
    return {mac: bridge for mac, bridge in found.items() if mac in (MAC, SECOND)}


def link(node: Node) -> str:
    return node.run(f"virsh domif-getlink web1 {MAC}").stdout.split()[-1]


def cards(node: Node) -> dict[str, Any]:
    return {row["mac"]: row for row in told(node, "nic list web1")}


def in_a_vlan(node: Node, below: str, vlan: int) -> None:
    """Fail unless frames of the bridge for a VLAN bear its tag below, and only those come in."""
    name = tagged_bridge(below, vlan)
    port = json.loads(node.run(f"ip -json -details link show {tagged_port(name)}").stdout)[0]
    assert (port["link"], port["master"]) == (below, name)
    assert port["linkinfo"]["info_data"]["id"] == vlan and "UP" in port["flags"]
    # The host has no address there, of IPv6 neither.
    for device in (name, tagged_port(name)):
        assert json.loads(node.run(f"ip -json address show {device}").stdout)[0]["addr_info"] == []
    node.put(FRAMES.read_bytes(), "/root/frames.py")
    seen = json.loads(node.run(f"python3 /root/frames.py {below} {name} {vlan}").stdout)
    assert seen == {"out": [["out", vlan]], "in": [["in", 0]]}


def test_a_card_in_a_vlan_sends_and_gets_what_bears_its_tag(pair: list[Node]) -> None:
    node1, node2 = pair
    mcv(node1, "network create tagged --bridge br-lan --vlan 7 --mtu 1400")
    create(node1, "web1")
    mcv(node1, "start web1")

    added = json.loads(mcv(node2, f"nic add web1 --network tagged --mac {SECOND} --json").stdout)

    assert added["active"] is True and added["pending"] == []
    assert connected(node1) == {SECOND: tagged_bridge("br-lan", 7)}
    in_a_vlan(node1, "br-lan", 7)
    assert "1400" in node1.run(f"virsh dumpxml web1 | grep -A9 {SECOND} | grep mtu").stdout
    assert told(node1, "info web1")["pending"] == []
    mcv(node1, "stop web1")
    mcv(node1, "delete web1 --yes")
    mcv(node1, "network delete tagged")
    wait_until(lambda: no_tags(node1), 20, "no bridge for a VLAN any more")


@pytest.mark.soak
def test_cards_come_change_move_and_go(pair: list[Node]) -> None:
    node1, node2 = pair
    here, there = tagged_bridge("br-lan", 7), tagged_bridge("br-dmz", 7)
    mcv(node1, "network create tagged --bridge br-lan --vlan 7 --mtu 1400 --on node2=br-dmz")
    mcv(node2, "network create dmz --bridge br-dmz")
    create(node1, "web1", disk="16MiB")
    mcv(node1, "start web1")

    # Added while it runs, from the other node too; in a VLAN by a bridge of its own.
    assert "e1000e" in mcv(node1, "nic add web1 --network lan --model e1000", code=3).stderr
    mcv(node1, f"nic add web1 --network lan --mac {MAC} --model e1000e")
    added = json.loads(mcv(node2, f"nic add web1 --network tagged --mac {SECOND} --json").stdout)
    assert added["active"] is True
    assert connected(node1) == {MAC: "br-lan", SECOND: here}
    in_a_vlan(node1, "br-lan", 7)
    refused = mcv(node1, f"nic add web1 --network lan --mac {MAC}", code=3)
    assert "is web1's" in refused.stderr

    # The cable, and another bridge, at once; a network in use stays.
    mcv(node1, f"nic set web1 {MAC} --link down")
    assert link(node1) == "down" and cards(node1)[MAC]["link"] == "down"
    mcv(node1, f"nic set web1 {MAC} --link up --network dmz")
    assert link(node1) == "up" and connected(node1)[MAC] == "br-dmz"
    for words in ("delete tagged", "set tagged --vlan 8"):
        assert "web1" in mcv(node1, f"network {words}", code=3).stderr

    # They go along while it runs, to the bridges of the other node.
    mcv(node1, "migrate --online --node node2 web1", timeout=180)
    assert connected(node2) == {MAC: "br-dmz", SECOND: there}
    in_a_vlan(node2, "br-dmz", 7)

    # What the host's network service would take away with the bridge below comes back.
    node2.run(f"ip link delete {tagged_port(there)}")
    wait_until(lambda: has_port(node2, there), 20, "the port for the VLAN being there again")
    in_a_vlan(node2, "br-dmz", 7)

    # A paused guest, and one without a driver, keeps its card until it stops, and is asked again.
    mcv(node2, "pause web1")
    left = mcv(node1, f"nic remove web1 {SECOND}", code=4)
    assert "web1 is paused" in left.stderr and "mcv resume web1" in left.stderr
    assert SECOND not in cards(node1)
    mcv(node1, "resume web1")
    left = mcv(node2, f"nic remove web1 {SECOND}", code=4)
    assert "the guest of web1 has not let go" in left.stderr
    assert f"no card {SECOND}" in str(told(node1, "info web1")["pending"])
    refused = mcv(node1, f"nic add web1 --network lan --mac {SECOND}", code=3)
    assert "has not let go" in refused.stderr
    mcv(node1, "stop web1")
    mcv(node1, "start web1")
    assert connected(node2) == {MAC: "br-dmz"} and told(node1, "info web1")["pending"] == []

    # What nobody needs any more goes from both hosts.
    mcv(node1, "network delete tagged")
    wait_until(lambda: all(no_tags(node) for node in pair), 20, "no bridge for a VLAN anywhere")
    mcv(node1, "stop web1")
    mcv(node1, "delete web1 --yes")
    mcv(node1, "network delete dmz")


def no_tags(node: Node) -> bool:
    return "mcv-7-" not in node.run("ls /sys/class/net").stdout


def has_port(node: Node, name: str) -> bool:
    return (
        node.run(f"test -e /sys/class/net/{name}/brif/{tagged_port(name)}", check=False).code == 0
    )
