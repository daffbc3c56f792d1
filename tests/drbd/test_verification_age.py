"""How long ago VMs were verified: told in info, and a finding after two periods without one."""

import re
import time

import pytest
from msgspec.structs import replace

from mcv.commands.info import verified_text
from mcv.drbd import verification_age, verify
from mcv.status import cluster as status_cluster
from mcv.status import vms
from mcv.system.answers import plain
from mcv.vm import create
from tests.fakes.cluster import FakeCluster

DAY = 86400.0


@pytest.fixture
def made(cluster: FakeCluster) -> FakeCluster:
    for name in ("web1", "web2"):
        cluster.run("n1", create.create, name=name, memory="64MiB", disks=["64MiB"])
    cluster.run("n1", create.create, name="none", memory="64MiB")
    cluster.run("n1", verify.verify, name="web1")
    verification_age.look_back(cluster.hosts["n1"])
    return cluster


def pass_days(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    later = time.time() + days * DAY
    monkeypatch.setattr(time, "time", lambda: later)


@pytest.mark.parametrize("days", [0, 7, 13.9])
def test_within_two_periods_nobody_is_needed(
    made: FakeCluster, monkeypatch: pytest.MonkeyPatch, days: float
) -> None:
    pass_days(monkeypatch, days)
    assert [row.attention for row in vms.list_(made.hosts["n2"])] == [None, None, None]


def test_what_was_not_verified_for_two_periods_needs_somebody(
    made: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_days(monkeypatch, 14.1)

    told = {row.name: row.attention for row in vms.list_(made.hosts["n2"])}

    assert told["none"] is None
    for name in ("web1", "web2"):
        assert f"{name} has not been verified since" in str(told[name])
        assert f"mcv verify {name}" in str(told[name])


def test_a_verification_ends_the_finding_at_once(
    made: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 14.1 * DAY))
    pass_days(monkeypatch, 14.1)
    monkeypatch.setattr(verify, "timestamp", lambda: when)

    made.run("n1", verify.verify, name="web2")

    told = {row.name: row.attention for row in vms.list_(made.hosts["n1"])}
    assert told["web2"] is None and told["web1"] is not None


@pytest.mark.parametrize("is_same", [True, False])
def test_a_vm_is_as_old_as_its_oldest_generation_and_a_namesake_is_another_vm(
    made: FakeCluster, monkeypatch: pytest.MonkeyPatch, is_same: bool
) -> None:
    host = made.hosts["n1"]
    generations = host.consensus.generations()
    vm, change = generations[0].vms["web2"], generations[0].change
    old = replace(
        generations[0],
        vms={"web2": vm if is_same else replace(vm, uuid="another")},
        change=replace(change, when="2020-01-01T00:00:00Z"),
    )
    monkeypatch.setattr(host.consensus, "generations", lambda: [*generations, old])

    verification_age.look_back(host)

    assert list(host.never_verified_since) == ["web2"]
    assert (host.never_verified_since["web2"] == "2020-01-01T00:00:00Z") is is_same


def test_info_tells_the_results_and_their_age(made: FakeCluster) -> None:
    told = plain(status_cluster.info(made.hosts["n2"]).verify)

    assert told["clean"] == 1 and told["others"] == {"web2": "never"}
    text = str(verified_text(told))
    assert re.fullmatch(r"1 clean \(the oldest \d+ seconds ago\); never: web2", text)
    assert verified_text(None) is None
    assert verified_text({"clean": 0, "oldest": None, "others": {}}) is None
    many = {f"vm{number}": "never" for number in range(9)}
    assert verified_text({"clean": 0, "oldest": None, "others": many}) == (
        "never: vm0, vm1, vm2, vm3, vm4 …"
    )
