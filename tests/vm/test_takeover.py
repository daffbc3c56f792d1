"""What a survivor may take of a dead owner's: stories over what it has seen."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mcv.cluster import members
from mcv.drbd import resolve
from mcv.errors import Refused
from mcv.status import vms
from mcv.vm import create, power, register
from tests.fakes.cluster import FakeCluster

RESOURCE = "mcv-web1-1"
COMMAND = "mcv drbd resolve web1 --keep NODE"


@pytest.fixture
def lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """web1 belongs to n3, its other replica is on n1; n3 wrote alone and is gone."""
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)
    cluster = FakeCluster(tmp_path, ("n1", "n2", "n3"))
    nodes = ["n3", "n1"]
    cluster.run("n3", create.create, name="web1", memory="64MiB", disks=["64MiB"], nodes=nodes)
    saw(cluster, in_step=100, heard=105)
    return cluster


def saw(cluster: FakeCluster, in_step: float, heard: float) -> None:
    sight = cluster.hosts["n1"].observations
    sight._now = lambda: in_step
    sight.see_in_step(RESOURCE)
    sight._now = lambda: heard
    sight.hear("n3")


def write_alone(cluster: FakeCluster, node: str) -> None:
    other = {"n1": "n3", "n3": "n1"}[node]
    cluster.drbd[other].standalone.add(RESOURCE)
    cluster.drbd[node].promote(RESOURCE)
    cluster.drbd[node].demote(RESOURCE)
    cluster.drbd[other].standalone.discard(RESOURCE)


def die(cluster: FakeCluster) -> None:
    cluster.down.add("n3")
    cluster.run("n1", members.offline, names=["n3"], confirm_dead=True)


def in_step_to_the_end(cluster: FakeCluster) -> None:
    pass


def heard_on(cluster: FakeCluster) -> None:
    saw(cluster, in_step=100, heard=200)


def itself_away(cluster: FakeCluster) -> None:
    cluster.hosts["n1"].observations.boot = "the next"


def never_in_step(cluster: FakeCluster) -> None:
    cluster.hosts["n1"].observations.forget(set(), {"n3"})


def replica(disk: str) -> Callable[[FakeCluster], None]:
    def make(cluster: FakeCluster) -> None:
        cluster.world.replicas[RESOURCE]["n1"].disk = disk

    return make


@pytest.mark.parametrize(
    ("story", "said", "by_a_word"),
    [
        (in_step_to_the_end, "", True),
        (replica("Consistent"), "", True),
        (
            heard_on,
            "was last in step 1970-01-01 00:01:40.*heard after that, 1970-01-01 00:03:20",
            True,
        ),
        (itself_away, "n1 was itself down since .*last in step 1970-01-01 00:01:40", True),
        (never_in_step, "n1 has never seen the replicas of web1 in step", True),
        (replica("Outdated"), "is Outdated, last in step 1970-01-01 00:01:40", True),
        (replica("Inconsistent"), "is Inconsistent", False),
        (replica("Diskless"), "is Diskless", False),
    ],
)
def test_what_may_be_stale_is_taken_by_a_word_alone(
    lost: FakeCluster, story: Callable[[FakeCluster], None], said: str, by_a_word: bool
) -> None:
    die(lost)
    story(lost)
    before = lost.picture()

    if said:
        with pytest.raises(Refused, match=said) as refused:
            lost.run("n1", register.register, name="web1")
        assert ("--accept-stale" in refused.value.hint) == by_a_word
        assert lost.picture() == before
    if not by_a_word:
        with pytest.raises(Refused, match=said):
            lost.run("n1", register.register, name="web1", accept_stale=True)
        assert lost.picture() == before
        return
    lost.run("n1", register.register, name="web1", accept_stale=bool(said))

    lost.run("n1", power.start, name="web1")
    taken = lost.read("n1").vm("web1")
    assert (taken.node, taken.home) == ("n1", "n3")


@pytest.mark.parametrize("disk", ["UpToDate", "Outdated"])
def test_what_a_dead_owner_wrote_alone_stays_until_somebody_says_that_it_may_go(
    lost: FakeCluster, disk: str
) -> None:
    write_alone(lost, "n3")
    wrote = lost.drbd["n3"].metadata.generations(RESOURCE).data
    die(lost)
    replica(disk)(lost)
    lost.run("n1", register.register, name="web1", accept_stale=True)
    lost.run("n1", power.start, name="web1")

    come_back(lost)

    assert COMMAND in str(vms.list_(lost.hosts["n2"])[0].attention)
    assert lost.drbd["n3"].metadata.generations(RESOURCE).data == wrote
    mine = lost.drbd["n1"].metadata.generations(RESOURCE).data
    lost.run("n1", resolve.resolve, name="web1", keep="n1")
    assert lost.drbd["n3"].metadata.generations(RESOURCE).data == mine
    assert lost.domains["n1"].is_active("web1")


@pytest.mark.parametrize("disk", ["UpToDate", "Outdated"])
def test_a_dead_owner_that_wrote_nothing_alone_follows_without_a_hand(
    lost: FakeCluster, disk: str
) -> None:
    die(lost)
    replica(disk)(lost)
    lost.run("n1", register.register, name="web1", accept_stale=True)
    lost.run("n1", power.start, name="web1")

    come_back(lost)

    assert lost.drbd["n1"].statuses()[RESOURCE].both_up_to_date


def come_back(cluster: FakeCluster) -> None:
    cluster.down.discard("n3")
    cluster.boot("n3")
    for name in cluster.hosts:
        cluster.look(name)
    cluster.run("n3", members.online, name="n3")
    cluster.look("n3")
