"""mcvd decides and carries out, on an armed cluster of three: web1 is managed, on n1 and n2."""

import threading
import time
from collections.abc import Callable

import pytest

from mcv.cluster import ha_look, ha_orders, ha_reports, ha_rounds, ha_work, members
from mcv.drivers import notice
from mcv.drivers.fence_doors import FenceRun
from mcv.errors import CommandFailed, Refused
from mcv.etcd.requests import put
from mcv.ha import values
from mcv.ha.values import Holder, Mark, Taken
from mcv.host import Host
from mcv.rules.ha.actions import Declare, TakeOver
from mcv.rules.ha.status import Status, decode
from mcv.transaction.job_records import About
from mcv.vm import autostart, power
from tests.fakes.armed import add_vm, keys, renew
from tests.fakes.armed import armed as armed
from tests.fakes.cluster import FakeCluster

LONG = 30.0  # s that what is carried out beside the rounds has


@pytest.fixture
def managed(armed: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """web1 is managed; T and D are short, and silence is known at once."""
    monkeypatch.setattr("mcv.ha.timing.wait", lambda *_: 1.5)
    monkeypatch.setattr("mcv.ha.timing.Timing.suspicion", 1.0)
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)
    armed.run("n1", _managed, name="web1")
    for name in armed.hosts:
        armed.look(name)
    return armed


def _managed(host, name):  # type: ignore[no-untyped-def]
    host.update("ha.set", "no grace", start_grace=0)
    host.update("ha.add", "manage", name=name, entry={})


def until(cluster: FakeCluster, *nodes: str, holds: Callable[[], object]) -> None:
    """Rounds on these nodes, whose leases are renewed, until something holds."""
    end = time.monotonic() + LONG
    sequence = 10
    while not holds():
        assert time.monotonic() < end, "it never came to hold"
        for name in nodes:
            sequence += 1
            renew(cluster, name, sequence)
        for name in nodes:
            cluster.run(name, ha_rounds.decide)
        time.sleep(0.05)


def runs(cluster: FakeCluster, node: str, name: str = "web1") -> bool:
    return cluster.domains[node].is_active(name)


def owner(cluster: FakeCluster, name: str = "web1") -> str:
    return cluster.read("n3").vm(name).node


def status(cluster: FakeCluster) -> Status:
    found = cluster.etcd.read_locally(keys(cluster).status).kvs
    return decode(found[0].value.decode())


def test_what_is_wanted_is_started_by_its_owner(managed: FakeCluster) -> None:
    until(managed, "n1", "n2", "n3", holds=lambda: runs(managed, "n1"))

    assert status(managed).services["web1"].restarts == ()


def test_what_ended_is_started_again(managed: FakeCluster) -> None:
    until(managed, "n1", "n2", "n3", holds=lambda: runs(managed, "n1"))
    until(
        managed,
        "n1",
        "n2",
        "n3",
        holds=lambda: status(managed).services["web1"].state == "started",
    )

    managed.domains["n1"].stop("web1")

    until(managed, "n1", "n2", "n3", holds=lambda: runs(managed, "n1"))
    assert len(status(managed).services["web1"].restarts) == 1


def test_a_dead_node_is_declared_and_its_vm_runs_elsewhere(managed: FakeCluster) -> None:
    until(managed, "n1", "n2", "n3", holds=lambda: runs(managed, "n1"))
    managed.down.add("n1")
    managed.domains["n1"].stop("web1")

    until(managed, "n2", "n3", holds=lambda: runs(managed, "n2"))

    document = managed.read("n3")
    evidence = document.node("n1").evidence
    assert document.node("n1").status == "offline" and owner(managed) == "n2"
    assert evidence is not None and (evidence.kind, evidence.detail) == ("lease", "mcv-ha")
    lease = managed.etcd.read_locally(keys(managed).lease("n1")).kvs[0]
    assert isinstance(values.decode(lease.value.decode()), Taken)


def test_a_marked_replica_is_not_run_on(managed: FakeCluster) -> None:
    until(managed, "n1", "n2", "n3", holds=lambda: runs(managed, "n1"))
    resource = managed.read("n1").vm("web1").disks[0].resource  # type: ignore[union-attr]
    mark = Mark("n2", "n1", "2026-11-29T10:00:00Z", "n2 is not to be reached")
    managed.etcd.change([], [put(keys(managed).stale(resource), mark.encode().encode())])
    managed.down.add("n1")
    managed.domains["n1"].stop("web1")

    until(
        managed,
        "n2",
        "n3",
        holds=lambda: status(managed).services["web1"].state == "blocked",
    )

    assert owner(managed) == "n1"
    reasons = [
        each.reasons.services["web1"].text
        for name in ("n2", "n3")
        if (each := managed.hosts[name].managing.decision) is not None
    ]
    assert len(reasons) == 1 and "newest data is on n1" in reasons[0]


def test_nothing_is_decided_where_nothing_is_managed(armed: FakeCluster) -> None:
    armed.run("n1", ha_rounds.decide)

    assert armed.hosts["n1"].managing.manager is None
    assert not armed.etcd.read_locally(keys(armed).manager).kvs


def test_a_deposed_manager_changes_no_document(managed: FakeCluster) -> None:
    """Its order to declare n1 comes after another one took the office."""
    until(managed, "n2", "n3", holds=lambda: managed.hosts["n2"].managing.decision)
    host = managed.hosts["n2"]
    manager = host.managing.manager
    assert manager is not None and manager.office is not None
    other = Holder("n3", "another", 9).encode().encode()
    managed.etcd.change([], [put(keys(managed).manager, other)])
    revision = renew(managed, "n1", sequence=3)
    env = ha_rounds.HostManagerEnv(host, keys(managed).id)
    declare = Declare(node="n1", evidence="lease", lease=revision)

    work = env._work(declare, manager.office)
    assert work is not None
    with pytest.raises(Refused):
        work()

    assert managed.read("n2").node("n1").status == "online"


def test_a_node_whose_lease_has_moved_is_not_declared(managed: FakeCluster) -> None:
    until(managed, "n2", "n3", holds=lambda: managed.hosts["n2"].managing.decision)
    host = managed.hosts["n2"]
    manager = host.managing.manager
    assert manager is not None and manager.office is not None
    revision = renew(managed, "n1", sequence=3)
    renew(managed, "n1", sequence=4)
    env = ha_rounds.HostManagerEnv(host, keys(managed).id)

    work = env._work(Declare(node="n1", evidence="lease", lease=revision), manager.office)
    assert work is not None
    with pytest.raises(Refused):
        work()

    assert managed.read("n2").node("n1").status == "online"


# Orders


def wait_for(holds: Callable[[], object]) -> None:
    end = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def ended(cluster: FakeCluster, node: str = "n1") -> str:
    """What came of the newest order about web1."""
    wait_for(lambda: cluster.hosts[node].managing.orders.all()["web1"].outcome)
    return str(cluster.hosts[node].managing.orders.all()["web1"].outcome)


def ordered(cluster: FakeCluster, uid: str, do: str, target: str = "") -> str:
    cluster.run("n1", ha_orders.order, uid=uid, do=do, name="web1", target=target)
    return ended(cluster)


def test_an_order_is_carried_out_once(managed: FakeCluster) -> None:
    assert ordered(managed, "1.1", "start") == "done"
    managed.domains["n1"].stop("web1")

    assert ordered(managed, "1.1", "start") == "done"

    assert not runs(managed, "n1")


def test_an_order_of_a_vm_of_another_node_is_refused(managed: FakeCluster) -> None:
    with pytest.raises(Refused, match="web1 is n1's"):
        managed.run("n2", ha_orders.order, uid="1.1", do="start", name="web1")
    with pytest.raises(Refused, match="is no order"):
        managed.run("n1", ha_orders.order, uid="1.1", do="burn", name="web1")


def test_a_vm_that_runs_is_started_already(managed: FakeCluster) -> None:
    managed.run("n1", power.start, name="web1")

    assert ordered(managed, "1.1", "start") == "done"


def test_a_start_that_fails_is_told_with_its_words(managed: FakeCluster) -> None:
    managed.run("n1", _locked, name="web1")

    assert ordered(managed, "1.1", "start") == "failed"
    assert "locked" in managed.hosts["n1"].managing.orders.all()["web1"].message


def _locked(host, name):  # type: ignore[no-untyped-def]
    host.update("vm.lock", "lock", name=name, locked=True)


def test_a_stopped_vm_is_relocated_and_keeps_its_home(managed: FakeCluster) -> None:
    managed.run("n1", power.start, name="web1")

    assert ordered(managed, "1.1", "stop") == "done"
    assert not runs(managed, "n1")
    assert ordered(managed, "1.2", "relocate", "n2") == "done"

    vm = managed.read("n1").vm("web1")
    assert (vm.node, vm.home) == ("n2", "n1")


def test_a_running_vm_migrates_and_keeps_its_home(managed: FakeCluster) -> None:
    managed.run("n1", power.start, name="web1")

    assert ordered(managed, "1.1", "migrate", "n2") == "done"

    vm = managed.read("n1").vm("web1")
    assert (vm.node, vm.home, runs(managed, "n2")) == ("n2", "n1", True)


# Reports and looks


def test_a_node_tells_what_runs_there_and_what_came_of_orders(managed: FakeCluster) -> None:
    ordered(managed, "1.1", "start")

    told = managed.run("n1", ha_reports.report)

    assert (told.runs, told.is_empty, told.leaving) == (["web1"], False, "")
    assert (told.orders["web1"].uid, told.orders["web1"].outcome) == ("1.1", "done")
    assert managed.run("n3", ha_reports.report).is_empty


@pytest.mark.parametrize(
    ("policy", "leaving"),
    [("migrate", "migrate"), ("freeze", "freeze"), ("conditional", "failover")],
)
def test_a_host_that_goes_down_tells_what_becomes_of_its_vms(
    managed: FakeCluster, policy: str, leaving: str
) -> None:
    managed.run("n1", _policy, policy=policy)
    assert managed.run("n1", ha_reports.report).leaving == ""

    managed.going_down.add("n1")

    assert managed.run("n1", ha_reports.report).leaving == leaving


def _policy(host, policy):  # type: ignore[no-untyped-def]
    host.update("ha.set", "policy", on_shutdown=policy)


def test_a_replica_that_is_outdated_is_lacking(managed: FakeCluster) -> None:
    resource = managed.read("n1").vm("web1").disks[0].resource  # type: ignore[union-attr]
    replica = managed.drbd["n2"]._replica(resource)
    assert replica is not None
    replica.disk = "Outdated"

    look = managed.run("n3", ha_look.look)

    places = look.services["web1"].places
    assert places is not None and "Outdated" in places["n2"] and places["n1"] == ""
    assert look.services["web1"].newest == "n1"


def test_a_claim_is_an_operators_unless_it_is_an_orders(managed: FakeCluster) -> None:
    managed.run("n1", _claimed, name="web1")

    claim = managed.run("n3", ha_look.look).services["web1"].claim

    assert claim is not None and (claim.mine, claim.node) == (False, "n1")


@pytest.mark.parametrize("what", ["start", "stop --force", "shutdown --wait"])
def test_an_operator_who_starts_or_stops_it_is_waited_for(managed: FakeCluster, what: str) -> None:
    jobs = managed.hosts["n1"].jobs
    about = About("change", ("web1",), what, "web1")
    job = jobs.begin(f"{what} web1", "alice", about=about)

    claim = managed.run("n3", ha_look.look).services["web1"].claim
    assert claim is not None and (claim.mine, claim.node) == (False, "n1")
    assert claim.why == f"{what} web1"

    jobs.run(job, lambda: None)
    managed.run("n3", ha_look.look)
    assert managed.run("n3", ha_look.look).services["web1"].claim is None


def test_a_verification_is_not_waited_for(managed: FakeCluster) -> None:
    about = About("change", ("web1",), "verify", "web1")
    managed.hosts["n1"].jobs.begin("verify web1", "alice", about=about)

    assert managed.run("n3", ha_look.look).services["web1"].claim is None


def _claimed(host, name):  # type: ignore[no-untyped-def]
    host.update("vm.claim", "edit", name=name, why="edit web1")


def test_a_silent_node_answers_by_no_path_once_all_were_tried(managed: FakeCluster) -> None:
    managed.down.add("n2")
    observations = managed.hosts["n3"].observations

    observations._heard.pop("n2", None)
    assert managed.run("n3", ha_look.look).nodes["n2"].answers is None
    observations.note_paths("n2", answers=False)
    assert managed.run("n3", ha_look.look).nodes["n2"].answers == ()


def test_autostart_leaves_alone_what_is_managed(managed: FakeCluster) -> None:
    add_vm(managed, "web2")
    host = managed.hosts["n1"]
    for name in ("web1", "web2"):
        managed.run("n1", power.start, name=name)
    host.observations.boot = "the next boot"

    assert [vm.name for vm in autostart.due(host)] == ["web2"]


def test_what_became_of_a_fencing_is_seen_in_the_next_look(managed: FakeCluster) -> None:
    managed.hosts["n3"].fences.runs["n1"] = FenceRun("1.4", "off", "", 1)

    fence = managed.run("n3", ha_look.look).nodes["n1"].fence

    assert fence is not None and (fence.uid, fence.outcome) == ("1.4", "off")


def test_whoever_is_named_is_told_and_one_that_cannot_be_keeps_nobody_else(
    managed: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    managed.run("n1", _notifies)
    told: list[tuple[str, str]] = []

    def send(to: str, cluster: str, subject: str, text: str) -> None:
        told.append((to, text))
        if to == "a@example.org":
            raise CommandFailed("no sendmail")

    monkeypatch.setattr(notice, "send", send)

    ha_work._tell(managed.hosts["n1"], "web1", "web1 goes to n2.")

    assert told == [
        ("a@example.org", "web1 goes to n2."),
        ("/usr/local/sbin/page", "web1 goes to n2."),
    ]


def _notifies(host):  # type: ignore[no-untyped-def]
    host.update("ha.set", "notify", notify=["a@example.org", "/usr/local/sbin/page"])


# When the next round is due


def lasts(cluster: FakeCluster, node: str) -> float:
    """How many seconds pass from one round of a node's loop to the next."""
    began = time.monotonic()
    ha_rounds.one_round(cluster.hosts[node])
    ha_rounds.await_next(cluster.hosts[node], began)
    return time.monotonic() - began


@pytest.fixture
def seldom(managed: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """Rounds are far apart, but for news, and decide nothing."""
    monkeypatch.setattr(ha_rounds, "PERIOD", LONG)
    monkeypatch.setattr(ha_rounds, "decide", lambda _: None)
    return managed


def later(seconds: float, work: Callable[[], object]) -> None:
    threading.Timer(seconds, work).start()


def test_without_news_the_next_round_is_due_in_its_time(
    seldom: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ha_rounds, "PERIOD", 0.5)

    assert lasts(seldom, "n3") >= 0.5


def test_a_round_follows_at_once_when_a_node_is_declared_and_taken_over(
    seldom: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever comes of it: refused, the next round judges anew."""

    def decide(host: Host) -> None:
        ha_work.beside(host, "declare", lambda: time.sleep(0.2), is_news=True)

    monkeypatch.setattr(ha_rounds, "decide", decide)

    assert lasts(seldom, "n3") < LONG
    assert Declare in ha_rounds.NEWS and TakeOver in ha_rounds.NEWS
    assert seldom.hosts["n3"].managing.under_way == set()


def test_a_round_follows_at_once_when_an_order_has_ended_wherever_that_was(
    seldom: FakeCluster,
) -> None:
    """n3 has ordered it; n1 orders something of itself."""
    order = {"do": "start", "name": "web1"}

    later(0.2, lambda: seldom.hosts["n3"].call("n1", "ha.order", uid="1.1", **order))
    assert lasts(seldom, "n3") < LONG
    assert seldom.hosts["n1"].managing.orders.all()["web1"].outcome == "done"
    later(0.2, lambda: seldom.hosts["n1"].call("n1", "ha.order", uid="1.2", **order))
    assert lasts(seldom, "n1") < LONG


def test_an_order_of_a_manager_that_is_gone_ends_all_the_same(seldom: FakeCluster) -> None:
    seldom.down.add("n3")

    seldom.run("n1", ha_orders.order, uid="1.1", do="start", name="web1", sender="n3")

    assert ended(seldom) == "done"
