"""The daemon's loops: what each of their rounds needs, and what an error of a round ends."""

import logging

import pytest

from mcv.api import loops
from mcv.api.loops import Loop, Loops
from mcv.errors import McvError, Unreadable
from mcv.host import Host
from tests.fakes.cluster import FakeCluster


@pytest.fixture
def host(cluster: FakeCluster) -> Host:
    return cluster.hosts["n1"]


def run(host: Host, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> list[str]:
    """The rounds of a daemon that brings DRBD up and then stops in its first round."""
    done: list[str] = []
    daemon = Loops(host)

    def bring_up(_: Host) -> None:
        done.append("up")
        if error is not None:
            raise error

    def look_after(_: Host) -> None:
        done.append("round")
        daemon.stopping.set()

    monkeypatch.setattr(loops, "BRING_UP", Loop("bring DRBD up", 0, bring_up))
    monkeypatch.setattr(loops, "LOOPS", (Loop("cluster", 0, look_after),))
    if host.consensus.damage:
        daemon.stopping.set()
    daemon.run()
    return done


@pytest.mark.parametrize("error", [None, McvError("no module"), OSError("no room"), KeyError("x")])
def test_the_loops_begin_whatever_comes_of_bringing_the_disks_up(
    host: Host,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception | None,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert run(host, monkeypatch, error) == ["up", "round"]

    assert [record.getMessage()[:18] for record in caplog.records] == (
        ["loop bring DRBD up"] if error else []
    )


def test_a_node_that_takes_part_in_nothing_brings_no_disks_up(
    cluster: FakeCluster, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.agreements["n1"].contact.key_damage = Unreadable("key.pem cannot be read.")

    assert run(host, monkeypatch) == []
