"""Both sides of a VM's disk were written while they were apart: seen, told, resolved on command."""

import json
from typing import Any

import pytest

from tests.lab import Node, reality, wait_until
from tests.lab.cluster import mcv, told
from tests.lab.test_fencing import BLOCK, LV, PLACE, RESOURCE, is_well, web1, written

__all__ = ["web1"]  # the fixture

THEIRS = PLACE + 100  # the first of the blocks that the other side writes
BLOCKS = {"node1": (PLACE, 1), "node2": (THEIRS, 3)}
COMMAND = "mcv drbd resolve web1 --keep NODE"


def block(node: Node, place: int) -> str:
    """A block as it lies on a node's own disk."""
    words = f"dd if={LV} bs={BLOCK} skip={place} count=1 iflag=direct status=none | sha256sum"
    return node.run(words).stdout


def data(node: Node) -> list[str]:
    return [block(node, first + more) for first, count in BLOCKS.values() for more in range(count)]


def alone(node: Node) -> bool:
    view = reality.drbd(node, RESOURCE)
    return view is not None and view.connection == "StandAlone"


def is_apart(node: Node) -> bool:
    view = reality.drbd(node, RESOURCE)
    return view is not None and view.replication == "Off"


def write_by_force(node: Node) -> None:
    """Make a replica count that does not, and write to it; mcvd would demote it at once."""
    first, count = BLOCKS["node2"]
    device = reality.device(node, RESOURCE)
    node.run("systemctl kill --signal=STOP mcvd")
    try:
        node.run(
            f"drbdadm primary --force {RESOURCE} && dd if=/dev/urandom of={device} bs={BLOCK} "
            f"seek={first} count={count} oflag=direct && drbdadm secondary {RESOURCE}",
            timeout=180,
        )
    finally:
        node.run("systemctl kill --signal=CONT mcvd")


def split(nodes: list[Node]) -> None:
    """Cut the link, write on both sides, and join it again."""
    owner, other = nodes
    other.cut()
    assert written(owner, 45)
    wait_until(lambda: is_apart(other), 45, "node2 to see that node1 is away")
    write_by_force(other)
    other.heal()
    wait_until(lambda: alone(owner) or alone(other), 60, "the split brain to be seen")
    wait_until(lambda: _online(nodes), 60, "both daemons to be in contact")
    # The other side may still be at its handlers when the first has disconnected.
    wait_until(lambda: all(map(_is_seen, nodes)), 30, "both nodes to tell of it")


def _is_seen(node: Node) -> bool:
    """Whether list and info tell of it, and what helps; the other's report may come late once."""
    said = (told(node, "list")[0]["attention"], told(node, "info web1")["attention"])
    return all("split brain" in str(line) and COMMAND in str(line) for line in said)


def _online(nodes: list[Node]) -> bool:
    return all(one["status"] == "online" for node in nodes for one in told(node, "info")["nodes"])


def refused(node: Node, words: str) -> str:
    return mcv(node, words, code=3).stderr


def test_a_split_brain_is_told_and_resolved_while_the_kept_side_runs_on(web1: list[Node]) -> None:
    node1, node2 = web1
    split(web1)
    had = {node.name: data(node) for node in web1}
    assert had["node1"] != had["node2"]

    wait_until(lambda: all(map(_is_seen, web1)), 30, "both nodes to tell of it, and what helps")
    assert COMMAND in mcv(node2, "cluster check", code=5).stdout
    for words in ("migrate --node node2 web1", "resync web1 --yes"):
        assert COMMAND in refused(node1, words)
    assert "First: mcv stop web1" in refused(node2, "drbd resolve web1 --keep node2 --yes")
    shown = mcv(node2, "drbd resolve web1 --keep node1 --dry-run")
    assert "node1 wrote 4KiB, node2 12KiB" in shown.stderr
    assert {node.name: data(node) for node in web1} == had

    ended = mcv(node2, "drbd resolve web1 --keep node1 --yes --json")

    assert json.loads(ended.stdout)["wrote"][0]["node"] == {
        "node1": {"bytes": BLOCK, "exact": True},
        "node2": {"bytes": 3 * BLOCK, "exact": True},
    }
    assert is_well(node1) and is_well(node2)
    assert data(node1) == data(node2) == had["node1"]
    assert reality.domain(node1, "web1") == "running"
    assert told(node1, "list")[0]["attention"] is None
    assert "no split brain of web1" in refused(node1, "drbd resolve web1 --keep node1 --yes")


CRASHED: Any = pytest.param(True, id="after the owner's death")


@pytest.mark.soak
@pytest.mark.parametrize("dies", [pytest.param(False, id="both alive"), CRASHED])
def test_a_stopped_vm_is_not_started_until_the_other_sides_data_is_chosen(
    web1: list[Node], dies: bool
) -> None:
    node1, node2 = web1
    split(web1)
    if dies:
        node1.kill()
        node1.boot()
        wait_until(lambda: _online(web1), 60, "node1 to be back")
    else:
        mcv(node1, "stop web1")
    had = data(node2)

    assert COMMAND in refused(node1, "start web1")
    assert reality.domain(node1, "web1") != "running"
    said = mcv(node1, "drbd resolve web1 --keep node2 --dry-run").stderr
    assert f"node1 {'at most ' if dies else '4KiB'}" in said
    mcv(node1, "drbd resolve web1 --keep node2 --yes")

    assert data(node1) == data(node2) == had
    if dies:  # it ran when its host died, and runs again as soon as it may
        wait_until(lambda: reality.domain(node1, "web1") == "running", 30, "web1 to run again")
    else:
        mcv(node1, "start web1")


@pytest.mark.soak
def test_who_stands_alone_and_has_not_split_is_joined_by_a_resync(web1: list[Node]) -> None:
    node1, node2 = web1
    node2.run(f"drbdadm disconnect {RESOURCE}")
    assert written(node1, 45)

    said = str(told(node1, "list")[0]["attention"])
    assert "split brain" not in said and "mcv resync web1 --source NODE" in said
    assert "no split brain" in refused(node1, "drbd resolve web1 --keep node1 --yes")
    mcv(node1, "resync web1 --yes")

    assert is_well(node1) and is_well(node2) and data(node1) == data(node2)
