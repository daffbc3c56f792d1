"""A node of an operation on etcd's voters dies in the middle, and is declared dead meanwhile.

With MCV_SOAK set at every instant; else at some that a fixed seed chooses.
"""

from pathlib import Path

import pytest

from mcv.cluster import members
from mcv.errors import McvError
from tests.deaths.narration import Afterwards, sample, tell
from tests.deaths.stories import STORIES
from tests.fakes.process_killer import ProcessKiller, until_quiet

MOST = 8
NAMES = ("add a voter", "remove a voter", "set a voter's addresses", "join etcd anew")
CASES = [
    pytest.param(name, who, id=f"{name}-{who}")
    for name in NAMES
    for who in ("n1", "n3")  # the coordinator, a voter
]


def declared(who: str) -> Afterwards:
    """The others take it offline and go on; then its host boots again."""

    def then(killer: ProcessKiller) -> None:
        cluster = killer.cluster
        if who not in killer.dead:
            return
        cluster.down.add(who)
        try:
            cluster.run("n2", members.offline, names=[who], confirm_dead=True)
        except McvError as error:
            pytest.fail(f"{who} is not declared dead: {error.message}")
        until_quiet(cluster)
        cluster.down.discard(who)

    return then


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(("name", "who"), CASES)
def test_it_is_whole_or_nothing_when_the_dead_is_declared_so(
    memory: Path, name: str, who: str
) -> None:
    story = STORIES[name]
    instants, wrong = tell(story, memory / "alive", "n1", who, -1)
    assert wrong == ""

    found = {}
    for at in sample(len(instants), MOST, f"{name} {who}"):
        _, wrong = tell(story, memory / str(at), "n1", who, at, declared(who))
        if wrong:
            found[f"{at} {instants[at]}"] = wrong

    assert not found, "\n".join(f"{at}: {wrong}" for at, wrong in found.items())
