"""Pools: made of what the nodes have, with every reason at once where that cannot be."""

from typing import Any

import pytest

from mcv.document.subject import Subject
from mcv.errors import Busy, DoneInPart, Failed, NotFound, Refused
from mcv.storage import pools, rooms
from mcv.vm import create, delete, power
from tests.fakes.cluster import FakeCluster
from tests.fakes.directories import STATE

DIR = "/srv/fast"


@pytest.fixture
def ready(cluster: FakeCluster) -> FakeCluster:
    """Two nodes with the directory DIR and the thin pool vg0/thin."""
    for number, node in enumerate(cluster.hosts):
        cluster.directories[node].make(DIR)
        cluster.lvm[node].make_pool("thin")
        cluster.lvm[node].uuid = f"uuid {number}"
    return cluster


def make(cluster: FakeCluster, **params: Any) -> Any:
    words: dict[str, Any] = {"name": "fast", "type": "dir", "location": DIR, **params}
    return cluster.run("n1", pools.create, **words)


def refusal(cluster: FakeCluster, **params: Any) -> str:
    """Everything that a creation is refused for; nothing has changed."""
    before = cluster.picture()
    with pytest.raises(Refused) as refused:
        make(cluster, **params)
    assert cluster.picture() == before
    problems = refused.value.problems or [(refused.value.message, refused.value.hint)]
    return "\n".join(message for message, _ in problems)


@pytest.mark.parametrize(
    ("type", "location"), [("dir", DIR), ("lvm", "vg0"), ("thin", "vg0/thin"), ("dir", f"{DIR}/")]
)
def test_a_pool_is_on_every_node_unless_nodes_are_named(
    ready: FakeCluster, type: str, location: str
) -> None:
    make(ready, type=type, location=location)

    made = ready.read("n2").pool("fast")
    where = location.rstrip("/")
    assert (made.type, made.nodes) == (type, {"n1": where, "n2": where})
    assert made.claim is None


def test_a_location_may_differ_from_node_to_node(ready: FakeCluster) -> None:
    ready.directories["n2"].make("/mnt/other")

    make(ready, on=["n1", "n2=/mnt/other"])

    assert ready.read().pool("fast").nodes == {"n1": DIR, "n2": "/mnt/other"}


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"name": "../../etc"}, "is no name for a pool"),
        ({"name": "default"}, "There is a pool default already"),
        ({"on": ["n7"]}, "There is no node n7"),
        ({"on": ["n1", "n1=/srv/b"]}, "n1 is named twice"),
        ({"location": None}, "Where is the pool on n1?"),
        ({"location": "srv/fast"}, "is no location of a pool of type dir"),
        ({"location": "/srv/../etc"}, "is no location of a pool of type dir"),
        ({"location": "/"}, "is no location of a pool of type dir"),
        ({"type": "lvm", "location": "vg0/thin"}, "is no location of a pool of type lvm"),
        ({"type": "thin", "location": "vg0"}, "is no location of a pool of type thin"),
        ({"type": "lvm", "location": "vg7"}, "n1: there is no volume group vg7"),
        ({"type": "thin", "location": "vg0/no"}, "n1: there is no thin pool vg0/no"),
        ({"location": "/nowhere"}, "n2: There is no directory /nowhere"),
        ({"location": "/var/lib/mcv/pool"}, "is the pool default already"),
    ],
)
def test_what_cannot_be_a_pool_is_refused(
    ready: FakeCluster, params: dict[str, Any], reason: str
) -> None:
    assert reason in refusal(ready, **params)


def test_all_reasons_of_all_nodes_come_at_once(ready: FakeCluster) -> None:
    n1, n2 = ready.directories["n1"].at(DIR), ready.directories["n2"].at(DIR)
    n1.closed, n1.no_disks = ["/srv"], "the file system of /srv takes no direct I/O"
    n2.free, n2.mark = 0, "5c8a"

    said = refusal(ready, name="Fast", on=["n1", "n2", "n7"])

    for reason in (
        "is no name for a pool",
        "There is no node n7",
        "n1: QEMU's user cannot pass through /srv.",
        "n1: the file system of /srv takes no direct I/O",
        f"n2: {DIR} has no room.",
        f"n2: {DIR} bears the id of a shared pool (5c8a).",
    ):
        assert reason in said


@pytest.mark.parametrize(
    ("real", "reason"),
    [
        ("/", "holds what mcv itself needs"),
        ("/etc/x", "it is the host's"),
        ("/var/lib/mcv/pool/x", "and the pool default (/var/lib/mcv/pool) lie in each other"),
    ],
)
def test_a_link_that_leads_elsewhere_is_followed_first(
    ready: FakeCluster, real: str, reason: str
) -> None:
    ready.directories["n1"].at(DIR).real = real

    assert reason in refusal(ready, on=["n1"])


def test_no_pool_lies_in_the_state_of_mcv(ready: FakeCluster) -> None:
    for place in ("var", "run"):
        state = f"{getattr(ready.hosts['n1'].settings, place)}/x"
        ready.directories["n1"].at(DIR).real = state

        assert "holds what mcv itself needs" in refusal(ready, on=["n1"])


def test_a_directory_that_hangs_is_a_reason(ready: FakeCluster) -> None:
    ready.directories["n2"].at(DIR).hangs = True

    assert refusal(ready) == f"n2: {DIR} does not answer."


def test_a_volume_group_that_two_hosts_share_is_refused(ready: FakeCluster) -> None:
    ready.lvm["n2"].uuid = ready.lvm["n1"].uuid

    assert "vg0 on n2 and on n1 is one volume group" in refusal(ready, type="lvm", location="vg0")


def test_a_full_thin_pool_is_refused(ready: FakeCluster) -> None:
    ready.lvm["n1"].make_pool("thin", used=10.0, metadata=96.0)

    said = refusal(ready, type="thin", location="vg0/thin")

    assert said == "n1: vg0/thin is full: 96% of its metadata used."


def test_a_volume_is_no_thin_pool(ready: FakeCluster) -> None:
    ready.lvm["n1"].create("vg0", "data", 64 * 1024**2)

    assert "vg0/data is no thin pool" in refusal(ready, type="thin", location="vg0/data")


def test_a_node_that_does_not_answer_or_is_offline_is_a_reason(ready: FakeCluster) -> None:
    ready.down.add("n2")

    assert "n2 is needed: n2 does not answer." in refusal(ready)


def test_a_dry_run_shows_the_plan_and_does_nothing(ready: FakeCluster) -> None:
    shown = make(ready, type="shared", dry_run=True)

    assert [line.split(" name=")[0] for line in shown.plan] == [
        "document: pool.add",
        "n1: pool.mark",
        "n2: pool.prove",
    ]
    assert "fast" not in ready.read().pools


def share(cluster: FakeCluster) -> None:
    """Let both nodes see one directory under DIR."""
    cluster.directories["n2"].about[DIR] = cluster.directories["n1"].at(DIR)


def test_a_shared_pool_is_proved_by_its_id_on_every_node(ready: FakeCluster) -> None:
    share(ready)

    make(ready, type="shared")

    assert ready.read().pool("fast").id == ready.directories["n2"].at(DIR).mark != ""


def test_a_directory_that_is_not_shared_leaves_no_pool_and_no_mark(ready: FakeCluster) -> None:
    with pytest.raises(Failed, match="does not bear the pool's id"):
        make(ready, type="shared")

    assert "fast" not in ready.read().pools
    assert all(ready.directories[node].at(DIR).mark == "" for node in ready.hosts)


def test_a_node_joins_a_shared_pool_where_it_sees_the_id(ready: FakeCluster) -> None:
    make(ready, type="shared", on=["n1"])

    with pytest.raises(Refused, match="is not the directory of the pool"):
        ready.run("n1", pools.add_node, name="fast", node="n2")
    share(ready)
    ready.run("n1", pools.add_node, name="fast", node="n2")

    assert ready.read().pool("fast").nodes == {"n1": DIR, "n2": DIR}


def test_a_deleted_shared_pool_leaves_a_directory_that_can_be_a_pool_again(
    ready: FakeCluster,
) -> None:
    make(ready, type="shared", on=["n1"])

    ready.run("n2", pools.delete, name="fast")

    assert ready.directories["n1"].at(DIR).mark == ""
    make(ready, on=["n1"])


def test_a_shared_pool_whose_server_is_gone_can_be_deleted(ready: FakeCluster) -> None:
    make(ready, type="shared", on=["n1"])
    ready.directories["n1"].at(DIR).hangs = True

    ready.run("n2", pools.delete, name="fast")

    assert "fast" not in ready.read().pools


def test_a_start_in_a_directory_that_hangs_is_refused(ready: FakeCluster) -> None:
    make(ready)
    ready.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"], pool="fast")
    ready.directories["n1"].at(DIR).hangs = True

    with pytest.raises(Refused, match=f"^{DIR} does not answer"):
        ready.run("n1", power.start, name="web1")


def test_a_stop_over_a_directory_that_hangs_is_done_in_part(ready: FakeCluster) -> None:
    make(ready)
    ready.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"], pool="fast")
    ready.run("n1", power.start, name="web1")
    ready.directories["n1"].at(DIR).hangs = True

    with pytest.raises(DoneInPart, match=f"web1 is stopped.*not known: {DIR} does not answer"):
        ready.run("n1", power.stop, name="web1")

    assert not ready.domains["n1"].is_active("web1")


def test_an_unmounted_shared_pool_makes_starts_and_opens_nothing(ready: FakeCluster) -> None:
    share(ready)
    make(ready, type="shared")
    ready.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"], pool="fast")
    ready.directories["n1"].about[DIR] = type(ready.directories["n1"].at(DIR))()

    with pytest.raises(Refused, match="it does not bear the pool's id"):
        ready.run("n1", power.start, name="web1")
    with pytest.raises(Refused, match="it does not bear the pool's id"):
        ready.run("n1", create.create, name="w2", memory="64MiB", disks=["1MiB"], pool="fast")

    assert rooms.rooms(ready.hosts["n1"])["fast"].problem.endswith("does not bear the pool's id.")


def test_a_pool_leaves_a_node_and_the_cluster_when_no_disk_lies_there(ready: FakeCluster) -> None:
    make(ready)
    ready.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"], pool="fast")

    with pytest.raises(Refused, match="holds disks of web1"):
        ready.run("n1", pools.remove_node, name="fast", node="n1")
    with pytest.raises(Refused, match="holds disks of web1"):
        ready.run("n1", pools.delete, name="fast")
    ready.run("n1", pools.remove_node, name="fast", node="n2")
    with pytest.raises(Refused, match="is not on n2"):
        ready.run("n1", pools.remove_node, name="fast", node="n2")
    ready.run("n1", delete.delete, name="web1")
    with pytest.raises(Refused, match="n1 is the last node of pool fast"):
        ready.run("n1", pools.remove_node, name="fast", node="n1")
    ready.run("n2", pools.delete, name="fast")

    assert "fast" not in ready.read().all_pools


def test_the_pool_of_every_node_stays_as_it_is(ready: FakeCluster) -> None:
    for verb, params in (
        (pools.delete, {}),
        (pools.add_node, {"node": "n1"}),
        (pools.remove_node, {"node": "n1"}),
    ):
        with pytest.raises(Refused, match="is on every node and stays as it is"):
            ready.run("n1", verb, name="default", **params)
    with pytest.raises(NotFound, match=r"There is no pool \.\./x"):
        ready.run("n1", pools.delete, name="../x")


def test_a_claimed_pool_takes_no_new_disk(ready: FakeCluster) -> None:
    make(ready)
    host = ready.hosts["n1"]

    with host.claim(Subject.pool("fast"), "pool delete fast"):
        with pytest.raises(Busy, match="Pool fast is busy: pool delete fast"):
            ready.run("n1", create.create, name="web1", memory="64MiB", disks=["4MiB"], pool="fast")
        with pytest.raises(Busy, match="fast is busy"):
            ready.run("n2", pools.remove_node, name="fast", node="n2")

    assert ready.read().vms == {} and ready.read().pool("fast").claim is None


def test_disks_in_the_file_system_of_the_state_leave_room_for_it(ready: FakeCluster) -> None:
    about = ready.directories["n1"].at(DIR)
    about.device, about.free = STATE, 3 * 1024**3
    make(ready, on=["n1"])

    room = rooms.rooms(ready.hosts["n1"])["fast"]
    with pytest.raises(Refused, match="has 1GiB free"):
        ready.run("n1", create.create, name="web1", memory="64MiB", disks=["2GiB"], pool="fast")

    assert (room.free, room.with_state) == (1024**3, True)


def test_a_full_thin_pool_takes_no_new_volume(ready: FakeCluster) -> None:
    make(ready, type="thin", location="vg0/thin", on=["n1"])
    ready.lvm["n1"].make_pool("thin", used=95.0)
    before = ready.picture()

    with pytest.raises(Refused, match=r"Pool fast \(vg0/thin\) on n1 is full: 95% used\."):
        ready.run("n1", create.create, name="web1", memory="64MiB", disks=["4MiB"], storage="thin")

    assert ready.picture() == before


def test_a_pool_by_a_path_is_no_pool(ready: FakeCluster) -> None:
    with pytest.raises(Refused, match=r"There is no pool \.\./\.\./etc"):
        ready.run("n1", create.create, name="w", memory="64MiB", disks=["4MiB"], pool="../../etc")
