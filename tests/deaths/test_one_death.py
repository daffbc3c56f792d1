"""Whole or nothing: every plan and change, with a daemon dying at any instant of it.

The instants are the calls, answers and durable writes of that daemon. With MCV_SOAK set each
of them is tried; without it a sample of the longer stories' instants, always the same one.
"""

from pathlib import Path

import pytest

from tests.deaths.narration import sample, tell
from tests.deaths.stories import STORIES

MOST = 12  # instants of one story that are tried, unless it is a soak
TWICE = ("migration ", "take ", "remove 192", "start ", "stop ")

CASES = [
    pytest.param(name, node, role, id=f"{name}-{node}-{role}")
    for name, story in STORIES.items()
    for node in ("n1", "n2")
    for role in story.victims
]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(("name", "node", "role"), CASES)
def test_it_is_whole_or_nothing_wherever_a_daemon_dies(
    memory: Path, name: str, node: str, role: str
) -> None:
    story = STORIES[name]
    dying = story.victim(node, role)
    instants, wrong = tell(story, memory / "alive", node, dying, -1)
    assert wrong == "" and len(instants) > 3

    found = {}
    chosen = set(sample(len(instants), MOST, f"{name} {node} {role}"))
    # What is done between calls is where a domain might run, or an address be, twice.
    chosen |= {at for at, what in enumerate(instants) if what.startswith(TWICE)}
    for at in sorted(chosen):
        _, wrong = tell(story, memory / str(at), node, dying, at)
        if wrong:
            found[f"{at} {instants[at]}"] = wrong

    assert not found, "\n".join(f"{at}: {wrong}" for at, wrong in found.items())
