"""Another product's stories, played through our decisions: safe all of them, most end alike.

Grade A: nothing that must never be happens. Grade B: the same state and node of every service,
the same fenced nodes, as many relocations. What differs by choice stands in differences.toml.
"""

import os
import tomllib
from functools import cache
from pathlib import Path

import pytest

from tests.ha import stories
from tests.ha.stories import Story
from tests.ha.story_outcome import Outcome, told
from tests.ha.story_play import Played, play

ALL = 72
ALIKE = 50  # of those that are not about the other product's scheduler, at least
KILLED_EVERY = range(2, 40) if os.environ.get("MCV_SOAK") else (13,)  # calls of the manager
DIRECTORIES = stories.directories()
DIFFERENCES: dict[str, str] = tomllib.loads(
    (Path(__file__).parent / "differences.toml").read_text()
)["differences"]

if not DIRECTORIES:
    skipped = f"{stories.VARIABLE} is not set: {ALL} stories of another product are not played"
    pytest.skip(skipped, allow_module_level=True)


@cache
def read(directory: Path) -> Story:
    return stories.read(directory)


@cache
def played(directory: Path) -> Played:
    return play(read(directory))


def expected(directory: Path) -> Outcome:
    with (directory / "log.expect").open() as log:
        return told(read(directory), log)


def is_compared(directory: Path) -> bool:
    return not read(directory).is_about_scheduler


def test_the_stories_are_all_there() -> None:
    assert len(DIRECTORIES) >= ALL


@pytest.mark.parametrize("directory", DIRECTORIES, ids=lambda directory: directory.name)
def test_a_story_is_safe(directory: Path) -> None:
    story = played(directory)

    assert not story.violation, "\n".join(story.log)


@pytest.mark.parametrize("directory", DIRECTORIES, ids=lambda directory: directory.name)
@pytest.mark.parametrize("calls", KILLED_EVERY)
def test_a_story_is_safe_with_a_manager_that_is_killed_again_and_again(
    directory: Path, calls: int
) -> None:
    story = play(read(directory), killed_every=calls)

    assert not story.violation, "\n".join(story.log)


@pytest.mark.parametrize(
    "directory",
    [each for each in DIRECTORIES if is_compared(each) and each.name not in DIFFERENCES],
    ids=lambda directory: directory.name,
)
def test_a_story_ends_alike(directory: Path) -> None:
    assert played(directory).outcome == expected(directory), "\n".join(played(directory).log)


def test_enough_stories_end_alike() -> None:
    compared = [each for each in DIRECTORIES if is_compared(each)]

    alike = [each for each in compared if played(each).outcome == expected(each)]

    assert len(alike) >= ALIKE


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_chosen_difference_is_one(name: str) -> None:
    """A story that ends alike after all is no difference, and says why in one sentence."""
    directory = next(each for each in DIRECTORIES if each.name == name)

    assert played(directory).outcome != expected(directory)
    assert DIFFERENCES[name].endswith(".")
