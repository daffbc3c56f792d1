"""A host of an armed cluster goes down: what is managed there moves, fails over, or waits."""

import pytest

from mcv.cluster import ha_leaving, ha_reports, leaving, members
from mcv.errors import CommandFailed
from mcv.system import systemd
from mcv.vm.moves_awaited import Leaving
from tests.cluster.test_ha_rounds import managed as managed
from tests.cluster.test_ha_rounds import owner, runs, status, until
from tests.fakes.armed import armed as armed
from tests.fakes.armed import grant
from tests.fakes.cluster import FakeCluster

ALL = ("n1", "n2", "n3")
OTHERS = ("n2", "n3")


def goes_down(managed: FakeCluster, policy: str) -> Leaving:
    """web1 runs on n1, which goes down; what mcv-guests is told there at first."""
    until(managed, *ALL, holds=lambda: runs(managed, "n1"))
    until(managed, *ALL, holds=lambda: status(managed).services["web1"].state == "started")
    managed.run("n1", _policy, policy=policy)
    managed.going_down.add("n1")
    return leave(managed)


def _policy(host, policy):  # type: ignore[no-untyped-def]
    host.update("ha.set", "policy", on_shutdown=policy)


def leave(managed: FakeCluster) -> Leaving:
    told = managed.run("n1", ha_leaving.leave)
    assert isinstance(told, Leaving)
    return told


def off(managed: FakeCluster) -> None:
    """The guests have ended, and mcvd: the host is off."""
    managed.domains["n1"].stop("web1")
    assert leaving.leave_in_order(managed.hosts["n1"])
    managed.down.add("n1")


def test_what_is_managed_moves_away_before_it_would_be_ended(managed: FakeCluster) -> None:
    assert goes_down(managed, "migrate") == Leaving(policy="migrate", staying=["web1"])

    until(managed, *ALL, holds=lambda: not leave(managed).staying)

    assert leave(managed).is_known and runs(managed, "n2") and owner(managed) == "n2"
    assert managed.twice == []
    assert managed.read("n3").vm("web1").home == "n1"


def test_a_move_is_seen_while_it_is_under_way(managed: FakeCluster) -> None:
    goes_down(managed, "migrate")
    seen: list[Leaving] = []
    managed.domains["n1"].phase = lambda phase: seen.append(leave(managed))

    until(managed, *ALL, holds=lambda: not leave(managed).staying)

    assert seen[0] == Leaving(policy="migrate", staying=["web1"], is_known=True, is_moving=True)


@pytest.mark.parametrize("policy", ["failover", "conditional"])
def test_a_host_that_is_switched_off_has_its_guests_started_elsewhere(
    managed: FakeCluster, policy: str
) -> None:
    told = goes_down(managed, policy)
    assert told == Leaving(policy="failover")
    until(managed, *ALL, holds=lambda: leave(managed).is_known)

    off(managed)
    until(managed, *OTHERS, holds=lambda: runs(managed, "n2"))

    assert owner(managed) == "n2" and managed.read("n3").node("n1").evidence is None


@pytest.mark.parametrize("policy", ["freeze", "conditional"])
def test_a_host_that_reboots_keeps_its_guests(
    managed: FakeCluster, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "host_is_rebooting", lambda: True)
    assert goes_down(managed, policy).policy == "freeze"
    until(managed, *ALL, holds=lambda: leave(managed).is_known)

    off(managed)
    rounds = iter(range(6))
    until(managed, *OTHERS, holds=lambda: next(rounds, None) is None)
    assert (owner(managed), runs(managed, "n2")) == ("n1", False)
    assert status(managed).services["web1"].state == "frozen"

    managed.down.discard("n1")
    managed.reboot("n1")
    grant(managed, "n1")
    managed.look("n1")
    managed.run("n1", members.come_back)
    until(managed, *ALL, holds=lambda: runs(managed, "n1"))
    assert owner(managed) == "n1" and status(managed).services["web1"].restarts == ()


def test_it_is_told_at_once_and_not_only_when_a_guest_has_ended(managed: FakeCluster) -> None:
    goes_down(managed, "migrate")

    assert managed.run("n1", ha_reports.report).leaving == "migrate"
    managed.going_down.discard("n1")
    assert managed.run("n1", ha_reports.report).leaving == ""
    assert leave(managed).policy == ""


def test_a_systemd_that_hangs_takes_nothing_back(
    managed: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_down(managed, "migrate")

    def hangs() -> bool:
        raise CommandFailed("`systemctl list-jobs` ran past 60 s.")

    managed.hosts["n1"].is_going_down = hangs

    assert managed.run("n1", ha_reports.report).leaving == "migrate"


def test_nothing_is_waited_for_where_nothing_is_managed(managed: FakeCluster) -> None:
    managed.run("n1", _unmanaged)
    managed.going_down.add("n1")

    assert leave(managed) == Leaving(policy="")


def _unmanaged(host):  # type: ignore[no-untyped-def]
    host.update("ha.remove", "leave alone", name="web1")


def test_what_has_failed_is_not_waited_for(managed: FakeCluster) -> None:
    goes_down(managed, "migrate")

    managed.run("n1", _given_up)

    assert leave(managed).staying == []


def _given_up(host):  # type: ignore[no-untyped-def]
    host.update("ha.failed", "given up", name="web1", why="it ended")
