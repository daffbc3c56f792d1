"""The manager's orders about a service, and what the nodes tell of it: www is n1's."""

import time

import pytest

from mcv import wanted
from mcv.cluster import ha_domains, ha_entries, ha_look, ha_orders, ha_reports, ha_rounds
from mcv.errors import Refused
from mcv.service import create, elsewhere, power, running
from tests.fakes.armed import arm
from tests.fakes.cluster import FakeCluster
from tests.service.names import A, B


@pytest.fixture
def armed_service(served: FakeCluster) -> FakeCluster:
    arm(served)
    served.run("n1", _is_wanted)
    return served


def ordered(cluster: FakeCluster, uid: str, do: str, target: str = "", node: str = "n1") -> str:
    """What comes of an order."""
    cluster.run(node, ha_orders.order, uid=uid, do=do, name="www", target=target)
    orders = cluster.hosts[node].managing.orders
    end = time.monotonic() + 10
    while not orders.all()["www"].outcome:
        assert time.monotonic() < end
        time.sleep(0.02)
    return str(orders.all()["www"].outcome)


def test_a_service_is_started_and_stopped_at_an_order(armed_service: FakeCluster) -> None:
    assert ordered(armed_service, "1.1", "start") == "done"
    assert armed_service.run("n1", ha_reports.report).runs == ["www"]
    assert not armed_service.run("n1", ha_reports.report).is_empty

    assert ordered(armed_service, "1.2", "stop") == "done"

    assert armed_service.run("n1", ha_reports.report).runs == []
    assert armed_service.run("n1", ha_reports.report).is_empty


def test_a_service_is_relocated_and_keeps_its_home(armed_service: FakeCluster) -> None:
    ordered(armed_service, "1.1", "start")

    assert ordered(armed_service, "1.2", "relocate", "n2") == "done"

    service = armed_service.read("n1").services["www"]
    assert (service.node, service.home) == ("n2", "n1")
    assert not running.runs(armed_service.hosts["n1"], "www")
    assert armed_service.run("n2", ha_reports.report).runs == ["www"]


def test_what_an_operator_has_stopped_without_a_majority_is_not_started(
    armed_service: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wanted, "noted", lambda host, name: "stopped")

    assert ordered(armed_service, "1.1", "start") == "failed"
    assert not running.runs(armed_service.hosts["n1"], "www")


def test_a_service_is_looked_at_with_its_owner_and_its_claim(armed_service: FakeCluster) -> None:
    ordered(armed_service, "1.1", "start")

    seen = armed_service.run("n3", ha_look.look).services["www"]

    assert (seen.kind, seen.node, seen.runs, seen.live) == ("service", "n1", ("n1",), False)
    assert seen.result is not None and (seen.result.uid, seen.result.outcome) == ("1.1", "done")


def test_a_service_that_is_wanted_is_started_by_the_rounds(armed_service: FakeCluster) -> None:
    end = time.monotonic() + 20
    while not running.runs(armed_service.hosts["n1"], "www"):
        assert time.monotonic() < end
        for name in ("n1", "n2", "n3"):
            armed_service.run(name, ha_rounds.decide)
        time.sleep(0.05)

    assert armed_service.run("n1", power.look, name="www").state == "started"


def _is_wanted(host, name="www"):  # type: ignore[no-untyped-def]
    host.update("ha.change", "wanted", name=name, wanted="started")


def test_an_operators_move_that_its_rules_forbid_is_refused_with_every_reason(
    armed_service: FakeCluster,
) -> None:
    """As that of a VM; the manager's own order is carried out."""
    armed_service.run("n1", ha_domains.create_domain, name="d", nodes={"n1": 1}, restricted=True)
    armed_service.run("n1", ha_entries.set_, name="www", domain="d")
    armed_service.run("n2", create.create, name="db", address="192.0.2.81/24", bridge="br0")
    armed_service.run("n1", _is_wanted, name="db")
    armed_service.run("n1", ha_domains.tie, kind="apart", names=["www", "db"])

    with pytest.raises(Refused) as refused:
        armed_service.run("n1", power.migrate, name="www", to="n2")

    assert [message for message, _ in refused.value.problems] == [
        "n2 is not in the failover domain of www, which is restricted.",
        "www is kept apart from db, on n2.",
    ]
    assert ordered(armed_service, "1.1", "relocate", "n2") == "done"


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ("bridge", "has no bridge br0"),
        ("down", "br0 is down"),
        ("unit", "has no unit nginx.service (not-found)"),
        ("script", f"{A} is not what it was when it was looked at"),
        ("missing script", f"{B}: No such file or directory"),
    ],
)
def test_a_node_that_lacks_what_a_service_needs_is_no_place_for_it(
    armed_service: FakeCluster, spoilt: str, said: str
) -> None:
    doors = armed_service.services["n2"]
    if spoilt == "bridge":
        armed_service.bridges["n2"].names = ("br-lan",)
    elif spoilt == "down":
        doors.address.down.add("br0")
    elif spoilt == "unit":
        doors.units.missing.add("nginx.service")
    elif spoilt == "script":
        doors.programs.digests[A] = "1" * 64
    else:
        del doors.programs.digests[B]
    for host in armed_service.hosts.values():
        elsewhere.look(host)

    seen = armed_service.run("n3", ha_look.look).services["www"]

    assert seen.places == {"n1": "", "n2": said, "n3": ""}


def test_what_the_owner_lacks_is_told_by_a_start_there(armed_service: FakeCluster) -> None:
    armed_service.bridges["n1"].names = ("br-lan",)
    elsewhere.look(armed_service.hosts["n1"])

    places = armed_service.run("n3", ha_look.look).services["www"].places
    assert places == {"n1": "", "n2": "", "n3": ""}
    assert ordered(armed_service, "1.1", "start") == "failed"


def test_a_node_that_may_not_run_it_looks_for_nothing(armed_service: FakeCluster) -> None:
    armed_service.run("n1", ha_domains.create_domain, name="d", nodes={"n1": 1}, restricted=True)
    armed_service.run("n1", ha_entries.set_, name="www", domain="d")
    armed_service.bridges["n2"].names = ("br-lan",)

    elsewhere.look(armed_service.hosts["n2"])

    assert armed_service.run("n2", ha_reports.report).lacks == {}


def test_the_managers_look_has_the_sleeptime_of_a_service(armed_service: FakeCluster) -> None:
    armed_service.run(
        "n1", create.create, name="db", address="192.0.2.81/24", bridge="br0", sleeptime=9
    )

    assert armed_service.run("n3", ha_look.look).services["db"].sleeptime == 9
