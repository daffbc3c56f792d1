"""Record deaths of the program as it is: python -m tests.recorded.make DIRECTORY.

One for each place that an entry's plan can stand at, in both directions, and one for each
way in which a change of the document can lie on the nodes' disks.
"""

import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mcv.document.model import decode
from mcv.errors import McvError
from tests.deaths.narration import act, judge
from tests.deaths.stories import Story
from tests.fakes.cluster import FakeCluster
from tests.fakes.process_killer import ProcessKiller
from tests.recorded.death import Death, quicken, read, record, turn_back, wake, write
from tests.recorded.stories import PLANS, STORIES

# Stories that are told from both sides; the others only as n1 carries them out.
BOTH_SIDES = ("create", "migrate", "migrate live", "resolve", "register stale", "add-node")


DOCUMENTS = ("/config.json", "/proposal.json")

First = Callable[[FakeCluster], None]


def standing(death: Death) -> Any:
    """Where a death found its plan, and what the nodes held: no two with the same are recorded."""
    entries = death.entries.items()
    own = [(one.direction, one.position) for path, one in entries if one.node in Path(path).parts]
    held = sorted(Path(path).parts[1:] for path in death.files if path.endswith(DOCUMENTS))
    return repr(own) if own else repr((len(entries), held, _generations(death)))


def _generations(death: Death) -> list[int]:
    """The generation that each node's settled document is."""
    settled = (death.files[f"var/{name}/config.json"] for name in death.names)
    return [decode(text).generation for text in settled]


def tell(
    name: str, node: str, victim: str, at: int, directory: Path, failing: str = ""
) -> tuple[list[str], Death, bool]:
    """Play a story with one death; its instants, what was left, and whether it failed before.

    The first call that is named failing does not succeed.
    """
    story, failed = STORIES[name], list[str]()
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        cluster = FakeCluster(directory, story.names)
        story.before(cluster, node)
        killer = ProcessKiller(cluster, patch)
        doomed = killer.doom(victim, at)
        before = cluster.spy

        def spy(caller: str, there: str, operation: str) -> None:
            before(caller, there, operation)
            if f"call {there} {operation}" == failing and not failed:
                failed.append(operation)
                raise McvError("no luck")

        cluster.spy = spy
        said = act(story, cluster, node)
        _end_threads()
        instant = doomed.instants[at] if 0 <= at < len(doomed.instants) else ""
        death = record(cluster, name, node, instant, story.names)
    return doomed.instants, death, said.startswith("Failed")


def _end_threads() -> None:
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(0.05)


def deaths(name: str, node: str) -> Iterator[Death]:
    """The deaths of one story's coordinator, and of its peer where no plan is carried out."""
    seen = set[str]()
    story = STORIES[name]
    for role in story.victims[:1] if name in PLANS else story.victims:
        yield from _new(name, node, story.victim(node, role), seen, "")
    for failing in _calls_that_turn_back(name, node) if name in PLANS else ():
        yield from _new(name, node, node, seen, failing)


def _new(name: str, node: str, victim: str, seen: set[str], failing: str) -> Iterator[Death]:
    with tempfile.TemporaryDirectory() as directory:
        instants, _, _ = tell(name, node, victim, -1, Path(directory, "alive"), failing)
        for at in range(len(instants)):
            _, death, _ = tell(name, node, victim, at, Path(directory, str(at)), failing)
            where = standing(death)
            if where not in seen and (death.entries or name not in PLANS):
                seen.add(where)
                yield death


def _calls_that_turn_back(name: str, node: str) -> list[str]:
    """The last call of a plan whose failure takes everything back."""
    with tempfile.TemporaryDirectory() as directory:
        instants, _, _ = tell(name, node, node, -1, Path(directory, "alive"))
        calls = [one for one in instants if one.startswith(("call n1 ", "call n2 "))]
        for number, call in enumerate(reversed(list(dict.fromkeys(calls)))):
            if call.split()[2].partition(".")[0] not in ("vm", "drbd", "volume", "member"):
                continue
            _, _, failed = tell(name, node, node, -1, Path(directory, str(number)), call)
            if failed:
                return [call]
    return []


def resumed(death: Death, directory: Path, first: First = lambda _: None) -> tuple[str, str]:
    """What comes of a recorded death when power is back: its end, and all that is wrong.

    `first` happens when the daemons are back, before they resume what was cut off.
    """
    story: Story = STORIES[death.story]
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        turn_back(patch, death.at)
        cluster = wake(death, directory)
        first(cluster)
        wrong = judge(story, cluster, death.node, "died")
        return story.end(cluster, death.node), wrong


def main() -> None:
    target = Path(sys.argv[1])
    for name in STORIES:
        for node in ("n1", "n2") if name in BOTH_SIDES else ("n1",):
            for number, death in enumerate(deaths(name, node)):
                with tempfile.TemporaryDirectory() as directory:
                    death.end, wrong = resumed(death, Path(directory))
                words = "-".join(re.findall(r"\w+", name))
                path = target / "deaths" / f"{words}-{node}-{number:02d}.json"
                write(death, path)
                assert read(path) == death
                print(path.name, death.instant, death.end, wrong, sep=": ", flush=True)


if __name__ == "__main__":
    main()
