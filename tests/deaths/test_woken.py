"""A coordinator that stood still in the middle of a plan, was declared dead, and wakes.

What it had begun has been finished or taken back elsewhere meanwhile: it changes nothing
more, neither the document nor anything on either node. What had not begun, so that nothing
was taken over, may begin. At instants that a fixed seed chooses, at all of them with
MCV_SOAK set.
"""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mcv.cluster import members
from mcv.consensus.unanimous import timeouts
from mcv.document.subject import Subject
from mcv.recovery import claims
from tests.deaths.ends import other
from tests.deaths.narration import act, left, sample, tell
from tests.deaths.stories import PLANS, Story
from tests.fakes.cluster import FakeCluster
from tests.fakes.process_killer import ProcessKiller, until_quiet

MOST = 6  # instants of one story at which it is frozen, unless it is a soak
ASLEEP = 30.0  # seconds, by its clock; nobody is found to be dead in less than three

# Two nodes, of which one is called dead: the other has to be a member all the time.
NAMES = ("create", "delete", "migrate", "update", "resync", "resolve")
SIDE_BY_SIDE = (" volume.", " drbd.create", " drbd.remove")


def things(cluster: FakeCluster) -> dict[str, Any]:
    """All that operations make, the settled documents aside."""
    return {
        name: (
            dict(cluster.domains[name].defined),
            dict(cluster.lvm[name].made),
            sorted(path.name for path in host.settings.drbd_directory.glob("*.res")),
            {key: (one.role, one.disk) for key, one in cluster.drbd[name].statuses().items()},
        )
        for name, host in cluster.hosts.items()
    }


def take_over(cluster: FakeCluster, survivor: str, dead: str) -> None:
    """What an operator does: calls it dead, and has what it left carried on."""
    cluster.run(survivor, members.offline, names=[dead], confirm_dead=True)
    cluster.run(survivor, claims.repair)


def is_at_work(instant: str, node: str) -> bool:
    """Whether a node is about to act on itself: what it has begun there nobody can stop."""
    return f"call {node} " in instant or any(one in instant for one in SIDE_BY_SIDE)


def tell_woken(story: Story, directory: Path, node: str, at: int, patch: pytest.MonkeyPatch) -> str:
    """Freeze a story's coordinator, take over, and wake it; everything that is wrong then."""
    cluster = FakeCluster(directory, story.names)
    story.before(cluster, node)
    killer, survivor, said = ProcessKiller(cluster, patch), other(node), list[str]()
    frozen = killer.freeze(node, at)
    thread = threading.Thread(target=lambda: said.append(act(story, cluster, node)), daemon=True)
    thread.start()
    assert frozen.frozen.wait(20)
    claimed = any(one.claim_of(Subject.vm("web1")) for one in cluster.hosts[survivor].both())
    take_over(cluster, survivor, node)
    before = {"document": cluster.read(survivor), **things(cluster)}
    monotonic = time.monotonic
    patch.setattr("time.monotonic", lambda: monotonic() + ASLEEP)
    killer.wake(node)
    thread.join(20)
    after = {"document": cluster.read(survivor), **things(cluster)}
    wrong = ["it does not end"] if thread.is_alive() else []
    if claimed:
        wrong += [
            f"{key} is {one}, was {before[key]}" for key, one in after.items() if one != before[key]
        ]
    until_quiet(cluster)
    if cluster.read(node).online != ["n1", "n2"]:
        wrong.append("it is not back")
    wrong += left(cluster)
    return f"{' '.join(said)}: {'; '.join(wrong)}" if wrong else ""


@pytest.mark.parametrize("node", ["n1", "n2"])
@pytest.mark.parametrize("name", NAMES)
def test_who_wakes_after_a_takeover_changes_nothing_more(
    memory: Path, name: str, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Others' answers to what it had asked before it stood still do not come any more.
    monkeypatch.setattr(timeouts, "ACCEPT", 1.5)
    story = PLANS[name]
    instants, _ = tell(story, memory / "alive", node, node, -1)
    found = {}
    good = [at for at, instant in enumerate(instants) if not is_at_work(instant, node)]
    for at in (good[number] for number in sample(len(good), MOST, f"{name} {node}")):
        with pytest.MonkeyPatch.context() as patch:
            wrong = tell_woken(story, memory / str(at), node, at, patch)
        if wrong:
            found[f"{at} {instants[at]}"] = wrong

    assert not found, "\n".join(f"{at}: {wrong}" for at, wrong in found.items())
