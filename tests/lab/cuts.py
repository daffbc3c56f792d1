"""Parts of the cluster's network that are lost: one way, or replication alone. `Node.cut` is all.

Each is made with rules of the packet filter on the nodes, and gone at the end of the context, or
with the node.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from tests.lab import LabError, Node

DRBD_PORTS = "7900:8399"


def _drop(node: Node, match: str, *chains: str) -> None:
    for chain in chains or ("INPUT",):
        node.run(f"iptables-legacy -A {chain} {match} -j DROP")


def _clear(nodes: Iterable[Node]) -> None:
    for node in nodes:
        if node.is_running:
            try:
                node.run("iptables-legacy -F", check=False)
            except LabError:  # it dies just now, and its rules with it
                continue


@contextmanager
def deaf(node: Node, others: Iterable[Node]) -> Iterator[None]:
    """A node hears nothing of others; they hear it."""
    for other in others:
        _drop(node, f"-s {other.address}")
    try:
        yield
    finally:
        _clear([node])


@contextmanager
def unheard(node: Node, others: Iterable[Node]) -> Iterator[None]:
    """Others hear nothing of a node; it hears them."""
    listening = list(others)
    for other in listening:
        _drop(other, f"-s {node.address}")
    try:
        yield
    finally:
        _clear(listening)


@contextmanager
def without_replication(node: Node, ports: str = DRBD_PORTS) -> Iterator[None]:
    """No packet of DRBD's gets through to or from a node; all else does."""
    for side in ("--sport", "--dport"):
        _drop(node, f"-p tcp {side} {ports}", "INPUT", "OUTPUT")
    try:
        yield
    finally:
        _clear([node])
