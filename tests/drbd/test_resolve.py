"""A split brain: told, shown, start and move refused, resolved by an operator's word alone."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.check import runner
from mcv.cluster import members
from mcv.drbd import resolve, resync
from mcv.errors import CallLost, Failed, McvError, Refused
from mcv.recovery import journal_recovery
from mcv.status import cluster as status_cluster
from mcv.status import vms
from mcv.system.answers import plain
from mcv.vm import create, migrate, power
from tests.fakes.cluster import FakeCluster

RESOURCE = "mcv-web1-1"
COMMAND = "mcv drbd resolve web1 --keep NODE"


def split(cluster: FakeCluster, disks: int = 1, keep_looking: str = "") -> None:
    """Make web1 on n1, and have both sides of its disks written while they are apart."""
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"] * disks)
    part(cluster, RESOURCE)
    if keep_looking:
        # The side that sees it first parts, and the other may never learn of it.
        cluster.drbd[keep_looking].standalone.discard(RESOURCE)


def part(cluster: FakeCluster, resource: str) -> None:
    for door in cluster.drbd.values():
        door.disconnect(resource)
    for name, door in cluster.drbd.items():
        door.promote(resource)
        door.wrote[resource] = 4096 if name == "n1" else 8192
        door.demote(resource)
    for door in cluster.drbd.values():
        door.connect(resource)


def data(cluster: FakeCluster, resource: str = RESOURCE) -> dict[str, int]:
    return {node: door.metadata.generations(resource).data for node, door in cluster.drbd.items()}


@pytest.mark.parametrize("looking", ["", "n1", "n2"])
def test_it_is_told_wherever_somebody_looks(cluster: FakeCluster, looking: str) -> None:
    split(cluster, keep_looking=looking)

    for node, host in cluster.hosts.items():
        listed = vms.list_(host)[0].attention
        assert (
            listed
            == f"split brain of web1: n1 and n2 were both Primary since they parted: {COMMAND}"
        )
        assert vms.info(host, "web1").attention == listed
        assert any("split brain of web1" in line for line in status_cluster.info(host).attention)
        found = [one for one in plain(runner.check(host))["findings"] if one["severity"] == "error"]
        assert [one["hint"] for one in found] == [COMMAND], node


@pytest.mark.parametrize("looking", ["", "n1", "n2"])
def test_start_move_and_resync_are_refused_and_name_the_command(
    cluster: FakeCluster, looking: str
) -> None:
    split(cluster, keep_looking=looking)
    before, had = cluster.picture(), data(cluster)

    for verb, params in (
        (power.start, {}),
        (migrate.migrate, {"to": "n2"}),
        (resync.resync, {}),
        (resync.resync, {"source": "n2"}),
    ):
        with pytest.raises(Refused) as refused:
            cluster.run("n1", verb, name="web1", **params)
        assert "split brain" in refused.value.message and COMMAND in refused.value.hint

    assert cluster.picture() == before and data(cluster) == had


@pytest.mark.parametrize("looking", ["", "n1", "n2"])
@pytest.mark.parametrize("keep", ["n1", "n2"])
def test_the_kept_sides_data_stays_and_the_vm_starts_again(
    cluster: FakeCluster, keep: str, looking: str
) -> None:
    split(cluster, keep_looking=looking)
    kept = data(cluster)[keep]

    said = cluster.run("n1", resolve.resolve, name="web1", keep=keep)

    assert data(cluster) == {"n1": kept, "n2": kept}
    assert (said.kept, said.discarded) == (keep, {"n1": "n2", "n2": "n1"}[keep])
    assert said.wrote == [
        {
            "disk": 1,
            "node": {"n1": {"bytes": 4096, "exact": True}, "n2": {"bytes": 8192, "exact": True}},
        }
    ]
    assert cluster.read().vm("web1").claim is None
    assert vms.list_(cluster.hosts["n1"])[0].attention is None
    cluster.run("n1", power.start, name="web1")


def test_the_kept_side_runs_on(cluster: FakeCluster) -> None:
    split(cluster)
    cluster.drbd["n1"].promote(RESOURCE)
    cluster.domains["n1"].start("web1")
    kept = data(cluster)["n1"]

    cluster.run("n1", resolve.resolve, name="web1", keep="n1")

    assert cluster.domains["n1"].is_active("web1")
    assert cluster.drbd["n1"].statuses()[RESOURCE].is_primary
    assert data(cluster) == {"n1": kept, "n2": kept}


def test_of_two_disks_the_one_that_has_split_is_resolved(cluster: FakeCluster) -> None:
    split(cluster, disks=2)
    had = data(cluster, "mcv-web1-2")

    said = cluster.run("n1", resolve.resolve, name="web1", keep="n2")

    assert [one["disk"] for one in said.wrote] == [1]
    assert data(cluster, "mcv-web1-2") == had


def test_what_is_said_of_one_of_two_disks_has_its_number(cluster: FakeCluster) -> None:
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"] * 2)
    with pytest.raises(Refused) as well:
        cluster.run("n1", resolve.resolve, name="web1", keep="n2")
    told = str([well.value.message, *well.value.problems])
    part(cluster, "mcv-web1-2")

    attention = vms.list_(cluster.hosts["n1"])[0].attention
    with pytest.raises(Refused, match="There is a split brain of disk 2 of web1: n1 and n2"):
        cluster.run("n1", power.start, name="web1")
    cluster.world.replicas["mcv-web1-2"]["n2"].disk = "Inconsistent"
    with pytest.raises(Refused, match="replica of disk 2 of web1 on n2 is Inconsistent"):
        cluster.run("n1", resolve.resolve, name="web1", keep="n2")
    with pytest.raises(McvError, match="replica of disk 2 of web1 on n2 is not the one"):
        resolve.discard_and_reconnect(cluster.hosts["n2"], "web1", {"2": "0"})

    assert all(f"no split brain of disk {number} of web1" in told for number in (1, 2))
    assert attention is not None and attention.startswith("split brain of disk 2 of web1: n1 and")


def test_what_would_be_lost_is_said_before(cluster: FakeCluster) -> None:
    split(cluster)
    door: Any = cluster.drbd["n2"]
    uuids = door.metadata.generations
    door.metadata.generations = lambda name: crashed(uuids(name))
    before, had = cluster.picture(), data(cluster)

    said = resolve.prospects(cluster.hosts["n1"], "web1", "n1")
    plan = cluster.run("n1", resolve.resolve, name="web1", keep="n1", dry_run=True)

    assert said.lose == "n2"
    assert said.lines == [
        "Disk 1 of web1 (64MiB): since they parted n1 wrote 4KiB, n2 at most 8KiB.",
        "What n2 wrote is lost; the data of n1 stays.",
    ]
    assert plan.plan == [
        "document: vm.renew name=web1",
        "n2: drbd.disconnect name=web1 disks=1",
        "n1: drbd.connect name=web1 disks=1",
        "n2: drbd.discard_and_reconnect name=web1 data=…",
        "n1: vm.define name=web1",
    ]
    assert plan.wrote[0]["node"]["n2"] == {"bytes": 8192, "exact": False}
    assert cluster.picture() == before and data(cluster) == had


def crashed(seen: Any) -> Any:
    return replace(seen, crashed=True)


def running(node: str) -> Any:
    def begin(cluster: FakeCluster) -> None:
        split(cluster)
        if node == "n2":
            cluster.domains["n2"].define(cluster.domains["n1"].defined["web1"])
        cluster.domains[node].start_unasked("web1")

    return begin


def whole(cluster: FakeCluster) -> None:
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])


def stand_alone(cluster: FakeCluster) -> None:
    whole(cluster)
    cluster.drbd["n2"].disconnect(RESOURCE)


def silent(cluster: FakeCluster) -> None:
    split(cluster)
    cluster.down.add("n2")


def mute(cluster: FakeCluster) -> None:
    split(cluster)

    def hear(caller: str, node: str, operation: str) -> None:
        if (node, operation) == ("n2", "node.report"):
            raise CallLost("n2 does not answer in time.")

    cluster.spy = hear


def offline(cluster: FakeCluster) -> None:
    split(cluster)
    cluster.run("n2", members.offline, names=["n2"])


@pytest.mark.parametrize(
    ("story", "before", "keep", "said", "hint"),
    [
        ("one is offline", offline, "n1", "n2 is offline", "mcv node online n2"),
        ("it runs where it would lose", running("n1"), "n2", "running on n1", "mcv stop web1"),
        ("a copy does", running("n2"), "n1", "running on n2", "mcv stop web1 --on n2"),
        ("all is well", whole, "n1", "is Connected on n1, Connected on n2.", "mcv drbd list"),
        ("one was parted", stand_alone, "n1", "StandAlone on n2", "mcv resync web1 --source"),
        ("the loser does not say", mute, "n1", "does not say whether web1 runs there", ""),
        ("one is silent", silent, "n1", "on n2 is not known", "mcv info"),
        ("no such replica", split, "n3", "n3 holds no replica", "--keep n1 or n2"),
    ],
)
def test_it_is_refused_where_it_is_not_safe_or_not_there(
    cluster: FakeCluster, story: str, before: Any, keep: str, said: str, hint: str
) -> None:
    before(cluster)
    picture, had = cluster.picture(), data(cluster)

    with pytest.raises(Refused) as refused:
        cluster.run("n1", resolve.resolve, name="web1", keep=keep)

    assert said in refused.value.message and hint in refused.value.hint, story
    assert cluster.picture() == picture and data(cluster) == had


def test_one_that_cannot_be_kept_is_refused(cluster: FakeCluster) -> None:
    split(cluster)
    cluster.world.replicas[RESOURCE]["n2"].disk = "Inconsistent"

    with pytest.raises(Refused, match="n2 is Inconsistent") as refused:
        cluster.run("n1", resolve.resolve, name="web1", keep="n2")

    assert "--keep n1" in refused.value.hint


@pytest.mark.parametrize("verb", ["connect_discarding", "connect"])
def test_one_that_fails_discards_nothing_and_can_be_asked_for_again(
    cluster: FakeCluster, verb: str
) -> None:
    split(cluster)
    had = data(cluster)
    cluster.drbd["n2"].broken.add(verb)

    with pytest.raises(Exception, match="State change failed"):
        cluster.run("n1", resolve.resolve, name="web1", keep="n1")

    assert data(cluster) == had
    cluster.drbd["n2"].broken.clear()
    journal_recovery.resume_all(cluster.hosts["n1"], patience=False)
    assert cluster.read().vm("web1").claim is None
    # Joined as they are they have met, and parted again.
    assert all(RESOURCE in door.standalone for door in cluster.drbd.values())
    assert COMMAND in str(vms.list_(cluster.hosts["n2"])[0].attention)
    cluster.run("n1", resolve.resolve, name="web1", keep="n1")
    assert data(cluster) == {"n1": had["n1"], "n2": had["n1"]}


def test_data_that_was_not_shown_is_not_discarded(cluster: FakeCluster) -> None:
    """The losing side begins another generation after the operator has looked at it."""
    split(cluster)

    def write(caller: str, node: str, operation: str) -> None:
        if operation == "drbd.discard_and_reconnect" and cluster.spy is write:
            cluster.spy = lambda *_: None
            begun = cluster.drbd["n2"].generations[RESOURCE]
            cluster.drbd["n2"].generations[RESOURCE] = replace(begun, current=begun.current + 64)

    cluster.spy = write
    with pytest.raises(Failed, match="not the one that was to go"):
        cluster.run("n1", resolve.resolve, name="web1", keep="n1")

    had = data(cluster)
    assert had["n1"] != had["n2"] and cluster.read().vm("web1").claim is None


def test_the_owner_of_one_whose_other_side_is_offline_goes_on_and_it_is_told_again(
    cluster: FakeCluster,
) -> None:
    split(cluster)
    had = data(cluster)
    cluster.run("n2", members.offline, names=["n2"])

    cluster.run("n1", power.start, name="web1")

    cluster.run("n2", members.online, name="n2")
    assert COMMAND in str(vms.list_(cluster.hosts["n1"])[0].attention)
    assert data(cluster) == had
