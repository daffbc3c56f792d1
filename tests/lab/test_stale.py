"""A survivor whose replica may lack what the dead owner wrote: told, and taken by a word alone."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.lab import Node, reality, wait_until
from tests.lab.cluster import mcv, told
from tests.lab.cuts import without_replication as no_link
from tests.lab.test_fencing import RESOURCE, block, disk, is_well, stop_daemon, web1, written
from tests.lab.test_split import COMMAND, is_apart

__all__ = ["web1"]  # the fixture

TAKE = "register web1 --node node2 --yes"


class Story(NamedTuple):
    """How node1, which owns web1, comes to have written alone and to be dead; what is said then."""

    happens: Callable[[Node, Node], None]
    disk: str
    said: str


def the_link_alone_was_lost(one: Node, two: Node) -> None:
    """The survivor lives, so the owner had it called stale before it went on."""
    with no_link(two):
        assert written(one, 45)
        one.kill()


def the_survivor_was_deaf(one: Node, two: Node) -> None:
    """Its mcvd was down when the owner asked, and heard the owner again afterwards."""
    with no_link(two):
        stop_daemon(two)
        two.run("sleep 25")  # between two looks this would not count
        assert written(one, 45)
        two.run("systemctl start mcvd")
        wait_until(lambda: _hears(two), 60, "node2 to hear node1")
        one.kill()


def the_survivor_was_dead(one: Node, two: Node) -> None:
    """It died first, the owner went on alone and died, and it is the first to be back."""
    two.kill()
    assert written(one, 45)
    one.kill()
    two.boot()


def _hears(node: Node) -> bool:
    return all(one["status"] == "online" for one in told(node, "info")["nodes"])


STORIES = {
    "outdated": Story(the_link_alone_was_lost, "Outdated", "node2 is Outdated"),
    "deaf": Story(the_survivor_was_deaf, "UpToDate", "was last in step"),
    "dead": Story(the_survivor_was_dead, "Consistent", "was itself down since"),
}


@pytest.mark.parametrize(
    "name",
    ["outdated", *(pytest.param(one, marks=pytest.mark.soak) for one in ("deaf", "dead"))],
)
def test_what_may_be_stale_is_taken_by_a_word_alone_and_nothing_is_lost_in_silence(
    web1: list[Node], name: str
) -> None:
    one, two = web1
    story = STORIES[name]
    one.run("sleep 3")  # seen in step before
    story.happens(one, two)
    wait_until(lambda: _has(two, RESOURCE), 60, "the replica on node2 to be up")
    assert disk(two) == story.disk
    mcv(two, "start web1", code=3)
    mcv(two, "node offline node1 --confirm-dead --yes", timeout=60)

    refused = mcv(two, TAKE, code=3).stderr

    assert story.said in refused and "--accept-stale" in refused
    assert "--node node2 --accept-stale" in mcv(two, "evacuate node1 --yes", code=3).stderr
    assert two.run(f"drbdadm role {RESOURCE}").stdout.split("/")[0].strip() == "Secondary"
    mcv(two, f"{TAKE} --accept-stale")
    mcv(two, "start web1")
    assert written(two, 45)
    mine = block(two)

    # Both wrote: who is back keeps what it wrote until somebody says that it may go.
    one.boot()
    wait_until(lambda: COMMAND in str(told(two, "list")[0]["attention"]), 60, "it being told")
    assert reality.domain(two, "web1") == "running" and block(two) == mine
    assert block(one) != mine
    wait_until(lambda: _hears(two), 60, "node1 to be online")
    mcv(two, "drbd resolve web1 --keep node2 --yes")
    assert is_well(one) and is_well(two) and block(one) == block(two) == mine


def _has(node: Node, resource: str) -> bool:
    view = reality.drbd(node, resource)
    return view is not None and view.disk not in ("Diskless", "Attaching", "Negotiating")


@pytest.mark.soak
def test_half_of_a_resync_is_never_taken(web1: list[Node]) -> None:
    one, two = web1
    two.run(f"drbdadm disk-options --resync-rate=10K {RESOURCE}")
    two.run(f"drbdadm invalidate {RESOURCE}")
    wait_until(lambda: disk(two) == "Inconsistent", 30, "the resync to begin")
    one.kill()
    wait_until(lambda: is_apart(two), 45, "node2 to see that node1 is away")
    mcv(two, "node offline node1 --confirm-dead --yes", timeout=60)

    for words in (TAKE, f"{TAKE} --accept-stale"):
        assert "node2 is Inconsistent" in mcv(two, words, code=3).stderr
    assert told(two, "list")[0]["node"] == "node1"

    one.boot()
    two.run(f"drbdadm adjust {RESOURCE}")
    wait_until(lambda: is_well(one) and is_well(two), 90, "both replicas to be in step")
    wait_until(lambda: _hears(two), 60, "node1 to be online")
    wait_until(lambda: reality.domain(one, "web1") == "running", 30, "web1 to run again")
