"""A host that dies in the middle of an operation, and what is taken over from the dead."""

import pytest

from tests.lab import Node, guests, wait_until
from tests.lab.cluster import mcv
from tests.lab.consistency import is_gone, is_whole, owner, settle
from tests.lab.test_kills import (
    COORDINATOR,
    CREATE,
    KILL,
    MIDDLE,
    OPERATIONS,
    PEER,
    STATE,
    ended,
    ready,
    tidy,
    under_way,
)
from tests.lab.watch import PROPOSED

__all__ = ["ready"]  # the fixture


@pytest.mark.parametrize(
    ("name", "victim"),
    [
        ("create", PEER),
        pytest.param("create", COORDINATOR, marks=pytest.mark.soak),
        pytest.param("migrate", COORDINATOR, marks=pytest.mark.soak),
        pytest.param("migrate", PEER, marks=pytest.mark.soak),
    ],
)
def test_a_host_killed_in_the_middle(ready: list[Node], name: str, victim: int) -> None:
    operation = OPERATIONS[name]
    operation.before(ready)
    running = under_way(ready[0], operation.command, MIDDLE[name])

    ready[victim].kill()

    said = ended(running)
    assert victim == 0 or said.split()[-1] in ("0", "1", "4"), said
    ready[victim].boot()
    settle(ready)
    wait_until(lambda: is_whole(ready) or is_gone(ready), 30, "replicas in step")
    operation.after(ready)
    tidy(ready)


@pytest.mark.soak
def test_a_daemon_killed_while_it_takes_over_from_the_dead(ready: list[Node]) -> None:
    one, two = ready
    two.put(guests.idle(), "/root/web1.img")
    mcv(two, CREATE)
    one.run("sleep 3")
    two.kill()
    declared = under_way(one, "node offline node2 --confirm-dead --yes", PROPOSED)
    one.run(KILL)
    assert ended(declared).split()[-1] in ("0", "1", "4")
    wait_until(lambda: not _proposes(one), 60, "the declaration being settled")
    mcv(one, "node offline node2 --confirm-dead --yes")

    taken = under_way(one, "register web1 --node node1 --yes", 0)
    one.run(KILL)

    assert ended(taken).split()[-1] in ("0", "1", "4")
    wait_until(lambda: not _entries(one), 60, "the takeover being settled")
    if owner(one) == "node2":
        mcv(one, "register web1 --node node1 --yes")
    mcv(one, "start web1")
    mcv(one, "stop web1")
    two.boot()
    settle(ready)
    wait_until(lambda: is_whole(ready), 30, "replicas in step")
    assert owner(two) == "node1"
    tidy(ready)


def _entries(node: Node) -> bool:
    return bool(node.run(f"ls {STATE}/journal", check=False).stdout.strip())


def _proposes(node: Node) -> bool:
    return node.run(f"test -e {STATE}/proposal.json", check=False).code == 0
