"""A cluster made of the lab's nodes: joined, spoken to, given VMs."""

import json
import os
import time
from collections.abc import Sequence
from typing import Any

from tests.lab import CommandError, Lab, LabError, Node, Result, guests, reality, wait_until
from tests.lab.image import PASSWORD
from tests.lab.lab import side_by_side

PASSWORD_FILE = "/root/password"
WITNESS = 5  # the machine that votes with node1 and node2
VOTING = "/var/lib/mcv/etcd"  # what it has of etcd
TRIES = 8
TOO_BUSY = (" is slow", '"slow"', "libvirt does not answer", "did not say what it has in time")


def mcv(node: Node, words: str, code: int = 0, timeout: float = 120) -> Result:
    """Run a command of mcv's; it must exit as expected."""
    result = node.run(f"mcv {words}", check=False, timeout=timeout)
    said = f"{node.name}# mcv {words}\n{result.stdout}{result.stderr}"
    assert result.code == code, f"exited with {result.code}, not {code}: {said}"
    return result


def told(node: Node, words: str, at_once: bool = False) -> Any:
    """What a command answers as JSON.

    A host with more labs than cores may be too busy to tell all in time, and says so: unless the
    first answer is asked for, such a host is asked again, at most TRIES times.
    """
    for _ in range(1 if at_once else TRIES):
        said = mcv(node, f"{words} --json").stdout
        if not any(symptom in said for symptom in TOO_BUSY):
            break
        time.sleep(1)
    return json.loads(said)


def revive(lab: Lab, count: int) -> list[Node]:
    """Bring back what a test froze, cut off or killed."""
    for node in lab.nodes:
        node.thaw()
        node.heal()
    return lab.up(count)


def bring_back(nodes: Sequence[Node], command: str = "systemctl start mcvd") -> None:
    """What a test cut off or killed is connected and up, and its daemon with it."""
    for node in nodes:
        node.heal()
        if not node.is_running:
            node.boot()
        node.run(command)


def in_contact(nodes: Sequence[Node]) -> bool:
    """Whether each node has heard from all others since its daemon began, and finds all well."""
    return all(
        {one["status"] for one in told(node, "info")["nodes"]} == {"online"}
        and not told(node, "info")["attention"]
        for node in nodes
    )


def wait_for_contact(nodes: Sequence[Node]) -> None:
    """A daemon that has begun anew refuses changes until it has heard from the others."""
    wait_until(lambda: in_contact(nodes), 60, "the nodes being in contact")


def reset(node: Node) -> None:
    """Clean a node, or make it anew if something on it holds out.

    An mcvd that does not start is no reason for that: it fails the test.
    """
    try:
        node.reset()
    except LabError as error:
        if isinstance(error, CommandError) and error.result.code == 3:
            raise
        node.renew()
        node.boot()
        node.reset()


def join(nodes: Sequence[Node]) -> None:
    """Make one cluster of nodes that are clean, with DRBD and the network lan."""
    first, *others = nodes
    first.put(f"{PASSWORD}\n", PASSWORD_FILE)
    for node in others:
        mcv(
            first,
            f"cluster add-node --node {node.name} --ip-address {node.address} "
            f"--password-file {PASSWORD_FILE} --yes",
        )
    mcv(first, "drbd enable")
    mcv(first, "network create lan --bridge br-lan")


def wants_etcd() -> bool:
    """Whether the main job's tests are to run with the document in etcd (MCV_STORE=etcd)."""
    return os.environ.get("MCV_STORE") == "etcd"


def settle(lab: Lab, nodes: Sequence[Node]) -> None:
    """Move a new cluster's document to where this run wants it; two nodes get a witness."""
    if not wants_etcd():
        return
    if len(nodes) > 2:
        mcv(nodes[0], "cluster store etcd --yes")
    else:
        add_witness(lab, nodes[0])
    wait_until(lambda: in_contact(nodes), 60, "the nodes to be in contact")


def add_witness(lab: Lab, node: Node) -> Node:
    """Boot the witness, with nothing on it, and have it vote by one command on a node."""
    witness = lab.node(WITNESS)
    witness.role = "witness"
    if not witness.is_running:
        witness.boot()
    witness.run(f"systemctl disable --now mcv-etcd; rm -rf {VOTING}", check=False)
    where = f"--witness {witness.name} --ip-address {witness.address}"
    mcv(node, f"cluster store etcd {where} --password-file {PASSWORD_FILE} --yes", timeout=240)
    return witness


def is_as_joined(nodes: Sequence[Node]) -> bool:
    """Whether nodes are still the cluster that `join` made, with nothing in it."""
    names = {one.name for one in nodes}
    try:
        return all(side_by_side(lambda node: _is_as_joined(node, names), nodes))
    except (LabError, AssertionError, KeyError, ValueError):
        return False


def _is_as_joined(node: Node, names: set[str]) -> bool:
    document = reality.document(node)
    members = document["nodes"].values()
    as_made = (
        {one["name"] for one in members} == names
        and all(one["status"] == "online" and not one.get("claim") for one in members)
        and document["drbd"]["enabled"]
        and (document["store"] is not None) == wants_etcd()
        and not document["vms"]
        and list(document["networks"]) == ["lan"]
        and not any(document["permissions"].values())
        and document["drbd"]["on_peer_loss"] == "continue"
    )
    if not as_made or reality.domains(node) or reality.volumes(node):
        return False
    return all(one["status"] == "online" for one in told(node, "info")["nodes"])


def is_blank(node: Node) -> bool:
    """Whether a node is a cluster of one with nothing in it, whatever its history."""
    try:
        document = reality.document(node)
        return (
            list(document["nodes"]) == [node.name]
            and not document["vms"]
            and not document["networks"]
            and node.run("systemctl is-active mcvd", check=False).code == 0
            and node.run("test ! -e /root/.ssh/known_hosts", check=False).code == 0
        )
    except (LabError, KeyError, ValueError):
        return False


def create(
    node: Node, name: str, options: str = "", *, image: bytes | None = None, disk: str = "8MiB"
) -> None:
    """Create a VM with one disk of a few MiB; its guest halts at once unless an image is given."""
    path = f"/root/{name}.img"
    node.put(guests.idle() if image is None else image, path)
    mcv(
        node,
        f"create {name} --memory 16MiB --disk {disk} --image {path} --network lan {options}",
    )
