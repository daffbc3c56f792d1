"""Nodes with plugs of the tests' power service, and a bridge on which a service has its address."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from tests.lab import Lab, Node, wait_until
from tests.lab.cluster import in_contact, mcv, told
from tests.lab.ha.trio import Trio
from tests.lab.host import run
from tests.lab.lab import side_by_side
from tests.lab.power import PASSWORD, SERVICE, LabMachine, Mode, Power, agent_on

DEVICE = "pdu"
BRIDGE, NETWORK = "br-front", "10.97.80"
# Now by hand, and at each boot by systemd-networkd.
FRONT = """set -e
cd /etc/systemd/network
mkdir -p vec0.network.d
printf '[Network]\\nVLAN=vec0.80\\n' > vec0.network.d/front.conf
printf '[NetDev]\\nName=vec0.80\\nKind=vlan\\n[VLAN]\\nId=80\\n' > vec0.80.netdev
printf '[NetDev]\\nName={bridge}\\nKind=bridge\\n' > {bridge}.netdev
idle='[Link]\\nRequiredForOnline=no\\n[Network]\\n'
printf "[Match]\\nName=vec0.80\\n${{idle}}Bridge={bridge}\\n" > vec0.80.network
printf "[Match]\\nName={bridge}\\n${{idle}}Address={network}.{number}/24\\n" > {bridge}.network
[ ! -e /sys/class/net/{bridge} ] || exit 0
ip link add link vec0 name vec0.80 type vlan id 80
ip link add {bridge} type bridge
ip link set vec0.80 master {bridge} up
ip address add {network}.{number}/24 dev {bridge}
ip link set {bridge} up
"""

WWW = "www"
ADDRESS = f"{NETWORK}.80"
PLACE = f"/usr/local/sbin/{WWW}"
OF_WWW = f"--address {ADDRESS}/24 --bridge {BRIDGE} --script {PLACE}"
SCRIPT = """#!/bin/sh
case $1 in
start) sleep 100000 & echo $! > /run/www.pid ;;
stop) kill "$(cat /run/www.pid)"; rm /run/www.pid ;;
status) kill -0 "$(cat /run/www.pid)" ;;
esac
"""


def with_script(nodes: list[Node]) -> None:
    """Give each node the script of the service www."""

    def give(node: Node) -> None:
        node.put(SCRIPT, PLACE)
        node.run(f"chmod 755 {PLACE}")

    side_by_side(give, nodes)


def with_front(nodes: list[Node]) -> None:
    """Give each node a bridge in a VLAN of the cluster's network, at each of its boots."""

    def give(node: Node) -> None:
        text = FRONT.format(bridge=BRIDGE, network=NETWORK, number=node.number)
        node.run("bash -s", stdin=text)

    side_by_side(give, nodes)


@contextmanager
def served(lab: Lab, nodes: Iterable[Node]) -> Iterator[Power]:
    """The power service, a plug for each node by its number; none of them knows of it yet."""
    inside = lab.network.inside
    run(*inside, "ip", "address", "replace", f"{SERVICE}/32", "dev", "lo")
    machines = {str(node.number): LabMachine(node) for node in nodes}
    with Power(machines, SERVICE, within=inside) as power:
        yield power


def give_agents(nodes: Iterable[Node]) -> None:
    """An agent on each node, and a way to the power service."""
    side_by_side(lambda node: node.run("bash -s", stdin=agent_on(node.number)), nodes)


@contextmanager
def powered(lab: Lab, trio: Trio, plugged: Iterable[Node]) -> Iterator[Power]:
    """The power service, an agent on each node, and the plugs of some in the device pdu."""
    plugged = list(plugged)
    give_agents(trio.nodes)
    one = trio.nodes[0]
    one.put(f"{PASSWORD}\n", "/root/pdu.pw")
    with served(lab, trio.nodes) as power:
        where = f"ip={SERVICE} ipport={power.port} username=root"
        mcv(one, f"fence device add {DEVICE} --agent fence_lab {where} --secret-file /root/pdu.pw")
        one.run("rm /root/pdu.pw")
        for node in plugged:
            mcv(one, f"fence set {node.name} --level 1 {DEVICE}:{node.number}")
        yield power
        for node in trio.nodes:
            power.mode(str(node.number), Mode.WELL)
            come_on(node)
        wait_until(lambda: in_contact(trio.nodes), 120, "all nodes to be back")
        for node in plugged:
            mcv(one, f"fence unset {node.name}")
        mcv(one, f"fence device remove {DEVICE}")


def come_on(node: Node) -> None:
    if not node.is_running:
        node.power_on()
    node.wait()


def state(asked: Node, name: str) -> tuple[str, str]:
    """Where something that is managed is, and in which state."""
    row = next(row for row in told(asked, "ha list") if row["name"] == name)
    return row["node"], row["state"]


def await_state(
    asked: Node, name: str, node: Node, timeout: float, reached: str = "started"
) -> None:
    wait_until(
        lambda: state(asked, name) == (node.name, reached),
        timeout,
        f"{name} to be {reached} on {node.name}",
    )


def holders(nodes: list[Node]) -> list[str]:
    """Those of the nodes that have the address of www."""
    shown = side_by_side(lambda node: node.run("ip -brief -4 address show").stdout, nodes)
    return [node.name for node, text in zip(nodes, shown, strict=True) if f"{ADDRESS}/" in text]
