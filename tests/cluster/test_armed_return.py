"""Into an armed cluster: a node is armed before it is online, be it new or back."""

import pytest
from msgspec.structs import replace

from mcv.cluster import armed_return, arming, draining, facts, join, lease_keeping, members
from mcv.consensus.etcd.door import Door
from mcv.document.availability import HostWatchdog
from mcv.document.subject import Subject
from mcv.drivers.watchdogs import WatchdogSeen
from mcv.errors import Busy, Failed, Refused
from mcv.etcd.keys import ClusterKeys
from mcv.etcd.requests import put
from mcv.ha import values
from mcv.ha.values import Held, Taken
from mcv.host import Prepared
from mcv.system import lease
from mcv.system.watchdog import SOFTDOG
from mcv.transaction.plan import Item, Step, change, steps_of
from tests.cluster.test_arming import armed as armed
from tests.cluster.test_arming import in_etcd as in_etcd
from tests.cluster.test_arming import looked
from tests.cluster.test_arming import not_awaited as not_awaited
from tests.documents import member
from tests.fakes.cluster import FakeCluster


@pytest.fixture(autouse=True)
def this_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "boot_id", lambda: "this boot")
    monkeypatch.setattr(armed_return, "LEASE", 0.0)


def key_of(cluster: FakeCluster, node: str) -> bytes:
    store = cluster.read().store
    return ClusterKeys(store.id if store else "").lease(node)


def lease_of(cluster: FakeCluster, node: str) -> Held | Taken:
    (found,) = cluster.etcd.read(key_of(cluster, node)).kvs
    return values.decode(found.value.decode())


def declare(cluster: FakeCluster, node: str) -> None:
    cluster.down.add(node)
    host = cluster.hosts["n1"]
    host.consensus.declare([node], id=f"dead {node}", who="root", why="dead", alive=list)
    cluster.down.clear()
    looked(cluster)


def take(cluster: FakeCluster, node: str) -> None:
    """The node's lease was taken by evidence, and it is offline."""
    declare(cluster, node)
    cluster.etcd.change([], [put(key_of(cluster, node), Taken("n1", "lease").encode().encode())])


def test_a_node_that_was_taken_is_online_again_with_a_new_lease_in_one_transaction(
    armed: FakeCluster,
) -> None:
    take(armed, "n3")
    before = armed.etcd.revision

    members.come_back(armed.hosts["n3"])

    assert armed.etcd.revision == before + 1
    assert armed.read("n3").node("n3").status == "online"
    assert lease_of(armed, "n3") == Held("this boot", 0, 12.0, 8.0, 1.0, True)


def test_while_something_may_begin_there_it_stays_offline(armed: FakeCluster) -> None:
    take(armed, "n3")
    armed.hosts["n3"].lease.is_gate_closed = False  # type: ignore[attr-defined]

    with pytest.raises(Busy, match="still being ended"):
        members.come_back(armed.hosts["n3"])

    assert armed.read("n3").node("n3").status == "offline"
    assert isinstance(lease_of(armed, "n3"), Taken)


def test_a_lease_that_is_taken_once_more_meanwhile_is_not_written_over(
    armed: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(armed, "n3")
    again = Taken("n2", "word").encode().encode()

    def closed() -> bool:
        armed.etcd.change([], [put(key_of(armed, "n3"), again)])
        return True

    monkeypatch.setattr(armed.hosts["n3"].lease, "nothing_can_begin", closed)

    with pytest.raises(Refused, match="depends on has changed"):
        members.come_back(armed.hosts["n3"])

    assert lease_of(armed, "n3") == Taken("n2", "word")
    assert armed.read().node("n3").status == "offline"


def test_a_node_without_a_lease_stays_offline_until_it_has_one(armed: FakeCluster) -> None:
    declare(armed, "n3")
    armed.hosts["n3"].lease.release(0)
    armed.hosts["n3"].lease.has_no_lease = True  # type: ignore[attr-defined]

    with pytest.raises(Busy, match="armed before it is online"):
        members.come_back(armed.hosts["n3"])
    assert armed.hosts["n3"].lease.told() is not None

    armed.hosts["n3"].lease.has_no_lease = False  # type: ignore[attr-defined]
    members.come_back(armed.hosts["n3"])
    assert armed.read("n3").node("n3").status == "online"


def test_after_maintenance_a_node_has_its_lease_before_it_is_online(armed: FakeCluster) -> None:
    armed.run("n3", members.offline, names=["n3"])
    lease_keeping.follow(armed.hosts["n3"])
    assert armed.hosts["n3"].lease.told() is None
    armed.hosts["n3"].lease.has_no_lease = True  # type: ignore[attr-defined]

    with pytest.raises(Busy, match="armed before it is online"):
        armed.run("n3", members.online, name="n3")

    armed.hosts["n3"].lease.has_no_lease = False  # type: ignore[attr-defined]
    armed.run("n3", members.online, name="n3")
    assert armed.read("n3").node("n3").status == "online"
    assert not armed.hosts["n3"].lease.is_kept


def test_restored_by_another_node_it_is_armed_by_the_plan(armed: FakeCluster) -> None:
    armed.run("n1", draining.drain, node="n3")
    looked(armed)
    lease_keeping.follow(armed.hosts["n3"])
    assert armed.read("n3").node("n3").maintenance

    armed.hosts["n3"].lease.has_no_lease = True  # type: ignore[attr-defined]
    with pytest.raises(Failed, match="has no lease within"):
        armed.run("n1", draining.restore, node="n3")
    looked(armed)
    assert armed.read("n3").node("n3").maintenance
    assert armed.hosts["n3"].lease.told() is None

    armed.hosts["n3"].lease.has_no_lease = False  # type: ignore[attr-defined]
    armed.run("n1", draining.restore, node="n3")
    looked(armed)
    assert armed.read("n3").node("n3").status == "online"
    assert armed.hosts["n3"].lease.told() is not None


def test_what_was_taken_before_it_was_disarmed_hinders_no_arming(armed: FakeCluster) -> None:
    armed.run("n1", arming.disarm)
    looked(armed)
    armed.etcd.change([], [put(key_of(armed, "n3"), Taken("n1", "word").encode().encode())])

    armed.run("n1", arming.arm)

    assert armed.etcd.read(key_of(armed, "n3")).kvs == []


# New members


def test_a_join_of_an_unarmed_cluster_arms_nothing(in_etcd: FakeCluster) -> None:
    assert armed_return.steps(in_etcd.read(), "n3", "n1") == []


def test_a_new_member_is_armed_before_it_is_online(armed: FakeCluster) -> None:
    """n3 is made what a join makes of a node before its last steps: a member that is offline."""
    make_new(armed, "n3")

    def prepare() -> Prepared[None]:
        return Prepared(join_plan(armed), None)

    armed.run("n1", lambda host: host.operate(Subject.node("n3"), "join n3", prepare))
    looked(armed)

    new = armed.read("n3").node("n3")
    assert new.status == "online" and armed.hosts["n3"].lease.told() is not None
    assert new.watchdog == HostWatchdog(
        kind="iTCO_wdt", device="/dev/watchdog0", timeout=8, grain=1.0, hardware=True
    )


def test_where_it_gets_no_lease_the_join_is_taken_back(armed: FakeCluster) -> None:
    make_new(armed, "n3")
    armed.hosts["n3"].lease.has_no_lease = True  # type: ignore[attr-defined]

    def prepare() -> Prepared[None]:
        return Prepared(join_plan(armed), None)

    with pytest.raises(Failed, match="n3 has no lease within"):
        armed.run("n1", lambda host: host.operate(Subject.node("n3"), "join n3", prepare))

    looked(armed)
    assert armed.hosts["n3"].lease.told() is None
    assert armed.read().node("n3").status == "offline"


def test_no_member_is_online_of_which_no_watchdog_is_known(armed: FakeCluster) -> None:
    make_new(armed, "n3")

    with pytest.raises(Refused, match="no watchdog is known of n3"):
        armed.hosts["n3"].consensus.propose("node.online", {"name": "n3"}, id="x", who="", why="")


def make_new(cluster: FakeCluster, node: str) -> None:
    cluster.hosts[node].lease.release(0)
    host = cluster.hosts["n1"]
    declare(cluster, node)
    bare = replace(host.read().node(node), watchdog=None)
    new = host.read().with_node(bare)
    cluster.etcd.keys.clear()
    for each in cluster.hosts.values():
        each.consensus.begin(new)
    store = new.store
    assert store is not None
    Door(cluster.etcd, ClusterKeys(store.id)).seed(new)
    looked(cluster)


def join_plan(cluster: FakeCluster) -> list[Item]:
    """The last steps of a join of n3."""
    last = Step(change("node.online", name="n3"), commits=True)
    return [*armed_return.steps(cluster.read(), "n3", "n1"), last]


NO_HARDWARE = "n9 has no watchdog with hardware, and this cluster trusts no other."


@pytest.mark.parametrize(
    ("seen", "vm", "problems"),
    [
        (None, "", ["n1 has no watchdog, and its kernel has no softdog."]),
        (WatchdogSeen(device="", kind=SOFTDOG), "", [NO_HARDWARE]),
        (WatchdogSeen(device="/dev/watchdog0", kind="i6300ESB timer"), "kvm", [NO_HARDWARE]),
        (WatchdogSeen(device="/dev/watchdog0", kind="iTCO_wdt"), "", []),
    ],
)
def test_what_hinders_a_new_member_is_told_before_the_join(
    armed: FakeCluster, seen: WatchdogSeen | None, vm: str, problems: list[str]
) -> None:
    armed.watchdogs["n1"].seen, armed.watchdogs["n1"].vm = seen, vm
    told = facts.facts(armed.hosts["n1"]).watchdog

    found = armed_return.why_not(armed.read(), told, "n9")
    assert [problem.message for problem in found] == problems
    assert [each.message for each in armed_return.why_not(armed.read(), None, "n9")] == [
        "n9 does not tell of its watchdog."
    ]


def test_the_plan_of_a_join_arms_before_the_new_member_is_online(armed: FakeCluster) -> None:
    new = member("n9", status="offline")

    plan = join.add_plan(new, "n1", "x", of_ha=armed_return.steps(armed.read(), "n9", "n1"))

    (arms,), (says,) = map(steps_of, plan[-2:])
    assert str(arms.do) == "n1: ha.arm_member node=n9" and says.commits
