"""Telling a story in which daemons die, and judging what is left when all are back."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from mcv.errors import McvError
from mcv.vm import run_notes
from tests.deaths.stories import Story
from tests.fakes.cluster import FakeCluster
from tests.fakes.process_killer import ProcessKiller, until_quiet

SOAK = bool(os.environ.get("MCV_SOAK"))  # every instant, not a sample of them

Afterwards = Callable[[ProcessKiller], None]  # what else happens, before all are back


def sample(count: int, most: int, seed: str) -> list[int]:
    """Numbers below count, the same ones each time; all of them in a soak, or if few."""
    if SOAK or count <= most:
        return list(range(count))
    return sorted(random.Random(seed).sample(range(count), most))


def tell(
    story: Story, directory: Path, node: str, victim: str, at: int, then: Afterwards | None = None
) -> tuple[list[str], str]:
    """Play a story with one death; the instants passed, and everything that is wrong after it."""
    with pytest.MonkeyPatch.context() as patch:
        cluster = FakeCluster(directory, story.names)
        story.before(cluster, node)
        killer = ProcessKiller(cluster, patch)
        doomed = killer.doom(victim, at)
        said = act(story, cluster, node)
        if then is not None:
            then(killer)
        killer.revive()
        wrong = judge(story, cluster, node, said)
    return doomed.instants, wrong


def act(story: Story, cluster: FakeCluster, node: str) -> str:
    """What the operator is told."""
    try:
        story.act(cluster, node)
    except McvError as error:
        return f"{type(error).__name__}: {error.message}"
    except SystemExit:
        return "died"
    return "done"


def judge(story: Story, cluster: FakeCluster, node: str, said: str) -> str:
    """Everything that is wrong when the daemons are back and quiet, in words; "" if nothing."""
    until_quiet(cluster)
    wrong = []
    end = story.end(cluster, node)
    if end not in ("whole", "nothing", "either"):
        wrong.append(end)
    if said == "done" and end == "nothing":
        wrong.append("said to be done")
    if said.startswith(("Failed", "Refused", "Busy", "PeerUnreachable")) and end == "whole":
        wrong.append("said to be undone")
    wrong += left(cluster) + cluster.twice + cluster.segment.twice
    if away := sorted(cluster.down):
        cluster.down.clear()
        for name in away:
            cluster.boot(name)
        until_quiet(cluster)
        if (healed := story.healed(cluster, node)) != "either":
            wrong.append(f"when {' '.join(away)} is back: {healed}")
        wrong += left(cluster)
    return f"{end} ({said}): {'; '.join(wrong)}" if wrong else ""


def left(cluster: FakeCluster) -> list[str]:
    """What should be over: entries, proposals, claims, locks, documents that differ."""
    found = []
    up = sorted(set(cluster.hosts) - cluster.down)
    first = cluster.read(up[0])
    for name in up:
        host = cluster.hosts[name]
        document = host.read()
        found += [f"{name}: {entry.title} is left" for entry in host.journal.entries()]
        found += [f"{name}: a proposal is left" for _ in host.both()[1:]]
        found += [f"{name}: {lock} is locked" for lock in host.locks.notes()]
        own = {vm.name for vm in document.vms.values() if vm.node == name}
        noted, runs = set(run_notes.noted(host)), own & set(cluster.domains[name].active)
        found += [f"{name}: {noted} are noted, {runs} run"] if noted != runs else []
        things = (document.vms, document.nodes, document.services)
        found += [
            f"{name}: {key} is claimed" for t in things for key, one in t.items() if one.claim
        ]
        if set(first.nodes) == set(cluster.hosts) and document != first:
            found.append(f"{name} has another document than {up[0]}")
    return found
