"""Two deaths: the coordinator's daemon, then its peer's; then both are back.

At instants of either that a fixed seed chooses; with MCV_SOAK set at every instant of the
coordinator, and several of the peer's after it.
"""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deaths.ends import other
from tests.deaths.narration import SOAK, Afterwards, sample, tell
from tests.deaths.stories import STORIES, VERIFICATIONS, Story
from tests.fakes.process_killer import ProcessKiller, until_quiet

FEW = 3  # deaths of the coordinator that one test tries, unless it is a soak
AGAIN = 2 if SOAK else 1  # deaths of its peer after each of them, where the instant matters
LATEST = 30  # the last instant at which the peer dies; if it has fewer, when it is quiet


def at_once(peer: str, at: int) -> Afterwards:
    """Power fails on both."""
    del at
    return lambda killer: killer.kill(peer)


def while_it_is_dead(peer: str, at: int) -> Afterwards:
    """The peer lives on alone for a while."""

    def then(killer: ProcessKiller) -> None:
        killer.doom(peer, at)
        until_quiet(killer.cluster)
        killer.kill(peer)

    return then


def in_the_recovery(peer: str, at: int) -> Afterwards:
    """The coordinator is back and settles what it left: the peer dies in the middle of that."""

    def then(killer: ProcessKiller) -> None:
        killer.revive()
        killer.doom(peer, at)
        until_quiet(killer.cluster)
        killer.kill(peer)

    return then


def both_in_the_recovery(peer: str, at: int) -> Afterwards:
    """The coordinator is back and settles what it left, and both die in the middle of that."""
    settling = in_the_recovery(peer, at)

    def then(killer: ProcessKiller) -> None:
        settling(killer)
        killer.kill(other(peer))

    return then


WAYS = (at_once, while_it_is_dead, in_the_recovery, both_in_the_recovery)
WITH_PEER = [
    pytest.param(name, marks=[pytest.mark.soak] if name in VERIFICATIONS else [])
    for name, story in STORIES.items()
    if "its peer" in story.victims
]


def deaths(
    story: Story, directory: Path, node: str, seed: str, again: int
) -> list[tuple[int, str, int]]:
    """When the coordinator dies, the instant in words, and when its peer dies after that."""
    instants, _ = tell(story, directory, node, node, -1)
    dice = random.Random(seed)
    return [
        (at, instants[at], dice.randrange(LATEST))
        for at in sample(len(instants), FEW, seed)
        for _ in range(again)
    ]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("node", ["n1", "n2"])
@pytest.mark.parametrize("name", WITH_PEER)
def test_it_is_whole_or_nothing_when_its_peer_dies_too(
    memory: Path, name: str, node: str, way: Callable[[str, int], Afterwards]
) -> None:
    story = STORIES[name]
    peer = story.victim(node, "its peer")

    found = {}
    seed, again = f"{name} {node} {way.__name__}", 1 if way is at_once else AGAIN
    told = deaths(story, memory / "alive", node, seed, again)
    for number, (at, instant, later) in enumerate(told):
        _, wrong = tell(story, memory / str(number), node, node, at, way(peer, later))
        if wrong:
            found[f"{at} {instant}, then {later}"] = wrong

    assert not found, "\n".join(f"{at}: {wrong}" for at, wrong in found.items())
