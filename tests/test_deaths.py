"""Whole or nothing: every plan, with a daemon dying at every instant of it, one after the other."""

import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mcv.cluster import agree, join, members
from mcv.drbd import resync
from mcv.errors import McvError
from mcv.host import Host
from mcv.model import Node
from mcv.vm import change, create, delete, migrate
from tests.fakes.cluster import FakeCluster
from tests.fakes.reaper import Reaper, until_quiet


@dataclass
class Story:
    """A plan's test: what is there before, what is done, and how the end is to be called."""

    before: Callable[[FakeCluster, str], None]
    act: Callable[[FakeCluster, str], None]
    end: Callable[[FakeCluster, str], str]


def other(node: str) -> str:
    return "n1" if node == "n2" else "n2"


def make(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, create.create, name="web1", memory="64MiB", disks=["64MiB"])


def parts(cluster: FakeCluster) -> dict[str, set[str]]:
    """What there is of web1, and where."""
    found: dict[str, set[str]] = {}
    for name, host in cluster.hosts.items():
        found.setdefault("entry", set()).update({name} if "web1" in host.read().vms else ())
        files_ = list(host.settings.drbd_directory.glob("*.res"))
        found.setdefault("file", set()).update({name} if files_ else ())
        for what, there in (
            ("volume", cluster.lvm[name].made),
            ("domain", cluster.domains[name].defined),
            ("replica", cluster.drbd[name].statuses()),
        ):
            found.setdefault(what, set()).update({name} if there else ())
    return found


BOTH = {"n1", "n2"}


def whole_vm(cluster: FakeCluster, node: str) -> bool:
    domain = {node} if cluster.read(node).vms["web1"].node == node else {other(node)}
    return parts(cluster) == {
        "entry": BOTH,
        "volume": BOTH,
        "replica": BOTH,
        "file": BOTH,
        "domain": domain,
    }


def exists(cluster: FakeCluster, node: str) -> str:
    found = parts(cluster)
    if not any(found.values()):
        return "nothing"
    return "whole" if "web1" in cluster.read(node).vms and whole_vm(cluster, node) else str(found)


def moved(cluster: FakeCluster, node: str) -> str:
    if not whole_vm(cluster, node):
        return str(parts(cluster))
    return "nothing" if cluster.read(node).vm("web1").node == node else "whole"


def grown(cluster: FakeCluster, node: str) -> str:
    cpus = cluster.read(node).vm("web1").cpus
    defined = f"<vcpu>{cpus}</vcpu>" in cluster.domains[node].defined["web1"].replace(
        ' placement="static"', ""
    )
    return f"{cpus} CPUs, not so defined" if not defined else "whole" if cpus == 3 else "nothing"


def same(cluster: FakeCluster, node: str) -> str:
    """A resync leaves no trace: there it is whole either way."""
    return "either" if whole_vm(cluster, node) else str(parts(cluster))


def reverse(end: Callable[[FakeCluster, str], str]) -> Callable[[FakeCluster, str], str]:
    """The end of what takes away: nothing left is the whole of it."""
    names = {"whole": "nothing", "nothing": "whole"}
    return lambda cluster, node: names.get(said := end(cluster, node), said)


def blank(cluster: FakeCluster, node: str) -> None:
    cluster.run(node, members.remove_node, node=other(node))


def add(cluster: FakeCluster, node: str) -> None:
    new = other(node)

    def joined(host: Host) -> None:
        stage = {"operation": host.job.id, "members": []}
        join.stage_join(cluster.hosts[new], document=json.dumps(stage))
        entry = Node(
            name=new, hostname=new, ip_address="10.0.0.9", drbd_address="10.0.0.9", certificate="c"
        )
        plan = join.add_plan(entry, host.name, f"add node {new}")
        host.carry_out(f"add node {new}", plan, f"node:{new}")

    cluster.run(node, joined)


def member(cluster: FakeCluster, node: str) -> str:
    new = other(node)
    mine, theirs = cluster.read(node), cluster.read(new)
    if new not in mine.nodes:
        return "nothing" if list(theirs.nodes) == [new] else f"{new} is not blank"
    return "whole" if mine.online == theirs.online == ["n1", "n2"] else f"{mine.nodes[new].status}"


STORIES = {
    "create": Story(lambda cluster, node: None, make, exists),
    "delete": Story(make, lambda c, node: c.run(node, delete.delete, name="web1"), reverse(exists)),
    "migrate": Story(
        make, lambda c, node: c.run(node, migrate.migrate, name="web1", to=other(node)), moved
    ),
    "update": Story(make, lambda c, node: c.run(node, change.update, name="web1", cpus=3), grown),
    "resync": Story(make, lambda c, node: c.run(node, resync.resync, name="web1"), same),
    "add-node": Story(blank, add, member),
    "remove-node": Story(lambda cluster, node: None, blank, reverse(member)),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is not what dies here, and nobody waits long for the dead."""
    monkeypatch.setattr("os.fsync", lambda fd: None)
    sleep = time.sleep
    monkeypatch.setattr("time.sleep", lambda seconds: sleep(min(seconds, 0.003)))
    # A change that is offered again within a second would be taken for a double.
    moments = itertools.count()
    monkeypatch.setattr(agree, "timestamp", lambda: f"moment {next(moments)}")
    for name, seconds in (("ACCEPT", 0.5), ("SETTLE", 0.5), ("LOOK", 3.0), ("PATIENCE", 5.0)):
        monkeypatch.setattr(agree, name, seconds)
    monkeypatch.setattr(resync, "POLL", 0.01)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory that costs no disk: thousands of documents are written here."""
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else None) as directory:
        yield Path(directory)


def tell(story: Story, directory: Path, node: str, victim: str, at: int) -> tuple[list[str], str]:
    """Play a story with one death; the instants passed, and everything that is wrong after it."""
    with pytest.MonkeyPatch.context() as patch:
        cluster = FakeCluster(directory)
        story.before(cluster, node)
        reaper = Reaper(cluster, victim, at, patch)
        said = "done"
        try:
            story.act(cluster, node)
        except McvError as error:
            said = f"{type(error).__name__}: {error.message}"
        except SystemExit:
            said = "died"
        reaper.disarm()
        until_quiet(cluster)
    wrong = []
    end = story.end(cluster, node)
    if end not in ("whole", "nothing", "either"):
        wrong.append(end)
    if said == "done" and end == "nothing":
        wrong.append("said to be done")
    if said.startswith(("Failed", "Refused", "Busy", "PeerUnreachable")) and end == "whole":
        wrong.append("said to be undone")
    for name, host in cluster.hosts.items():
        document = host.read()
        wrong += [f"{name}: {entry.title} is left" for entry in host.journal.entries()]
        wrong += [f"{name}: a proposal is left" for _ in host.both()[1:]]
        things = (document.vms, document.nodes)
        wrong += [
            f"{name}: {key} is claimed" for t in things for key, one in t.items() if one.claim
        ]
    if set(cluster.read("n1").nodes) == BOTH and cluster.read("n1") != cluster.read("n2"):
        wrong.append("two documents")
    return reaper.instants, f"{end} ({said}): {'; '.join(wrong)}" if wrong else ""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("victim", ["the coordinator", "its peer"])
@pytest.mark.parametrize("node", ["n1", "n2"])
@pytest.mark.parametrize("name", STORIES)
def test_a_plan_is_whole_or_nothing_wherever_a_daemon_dies(
    memory: Path, name: str, node: str, victim: str
) -> None:
    story = STORIES[name]
    dying = node if victim == "the coordinator" else other(node)
    instants, wrong = tell(story, memory / "alive", node, dying, -1)
    assert wrong == "" and len(instants) > 3

    found = {}
    for at, instant in enumerate(instants):
        _, wrong = tell(story, memory / str(at), node, dying, at)
        if wrong:
            found[f"{at} {instant}"] = wrong

    assert not found, "\n".join(f"{at}: {wrong}" for at, wrong in found.items())
