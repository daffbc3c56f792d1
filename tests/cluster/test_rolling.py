"""All hosts rebooted one after the other: the VMs run on, and what stopped goes on."""

import threading
from typing import Any

import pytest

from mcv.cluster import draining, powering, rolling
from mcv.errors import Cancelled, DoneInPart, HypervisorFailed, Refused
from mcv.host import Host
from mcv.vm import create, power
from tests.fakes.cluster import FakeCluster


@pytest.fixture
def busy(three: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """web1 runs on n1 (and n2), web2 on n2 (and n3), web3 on n3 (and n1); orders are obeyed."""
    for module, name in ((draining, "POLL"), (rolling, "POLL"), (powering, "DELAY")):
        monkeypatch.setattr(module, name, 0.01)
    for name, nodes in (("web1", "n1 n2"), ("web2", "n2 n3"), ("web3", "n3 n1")):
        where = nodes.split()
        options = {"memory": "64MiB", "disks": ["64MiB"], "nodes": where}
        three.run(where[0], create.create, name=name, **options)
        three.run(where[0], power.start, name=name)

    def obey(host: Host, verb: str) -> None:
        three.ordered.append((host.name, verb))
        assert three.domains[host.name].active == {}
        three.reboot(host.name)
        three.look(host.name)

    monkeypatch.setattr(powering, "_order", obey)
    return three


def roll(cluster: FakeCluster, **options: Any) -> Any:
    return cluster.run("n1", rolling.reboot_others, **options)


def hosts(cluster: FakeCluster) -> list[str]:
    return [node for node, _ in cluster.ordered]


def running(cluster: FakeCluster) -> dict[str, str]:
    found: dict[str, str] = {}
    for node, door in cluster.domains.items():
        found.update({name: node for name, state in door.active.items() if state == "running"})
    return dict(sorted(found.items()))


HOME = {"web1": "n1", "web2": "n2", "web3": "n3"}


def test_each_host_boots_once_while_all_vms_run_on(busy: FakeCluster) -> None:
    fewest = [len(HOME)]

    def count(caller: str, node: str, operation: str) -> None:
        fewest.append(sum(len(door.active) for door in busy.domains.values()))

    busy.spy = count
    answer = roll(busy)
    last = busy.run("n2", rolling.reboot_last, node=answer.last, boot=answer.boot)

    assert (answer.rebooted, answer.last, last.rebooted) == (["n2", "n3"], "n1", ["n1"])
    assert hosts(busy) == ["n2", "n3", "n1"]
    assert running(busy) == HOME and min(fewest) == 3 and busy.twice == []
    members = busy.read("n2").nodes.values()
    assert all(one.status == "online" and not one.draining and not one.claim for one in members)
    assert not rolling._path(busy.hosts["n2"]).exists()


def test_the_plan_says_what_is_rebooted_in_which_order(busy: FakeCluster) -> None:
    assert roll(busy, dry_run=True).plan == [
        "n2 is drained, rebooted and restored.",
        "n3 is drained, rebooted and restored.",
        "n1 is drained, rebooted and restored, this node, last and by another one.",
    ]
    assert busy.ordered == []


def test_what_cannot_leave_its_host_is_told_before_it_begins(busy: FakeCluster) -> None:
    for name, node in (("web1", "n1"), ("web3", "n3")):
        busy.domains[node].pause(name)
    before = busy.picture()

    with pytest.raises(Refused) as refused:
        roll(busy)

    assert [message.split()[0] for message, _ in refused.value.problems] == ["web1", "web3"]
    assert busy.picture() == before and busy.ordered == []


def test_a_silent_host_and_a_host_that_is_offline_hold_it_up(busy: FakeCluster) -> None:
    busy.run("n1", draining.drain, node="n3")
    with pytest.raises(Refused, match="n3 is offline") as refused:
        roll(busy)
    assert "mcv node restore n3" in refused.value.hint

    busy.run("n1", draining.restore, node="n3")
    busy.down.add("n2")
    with pytest.raises(Refused, match="n2 does not answer"):
        roll(busy)
    assert busy.ordered == []


def test_it_stops_at_the_first_trouble_and_the_same_command_goes_on(busy: FakeCluster) -> None:
    def fail(phase: str) -> None:
        if "web2" in busy.domains["n3"].active:
            return  # it goes back to n2
        raise HypervisorFailed("Could not migrate web3: the way broke off.")

    busy.domains["n3"].phase = fail
    with pytest.raises(DoneInPart, match=r"stopped at n3: .*the way broke off") as stopped:
        roll(busy)
    assert "on n1: mcv cluster reboot --rolling" in stopped.value.hint
    assert hosts(busy) == ["n2"] and running(busy) == HOME

    busy.domains["n3"].phase = lambda phase: None
    assert roll(busy).rebooted == ["n3"]
    assert hosts(busy) == ["n2", "n3"] and running(busy) == HOME


def test_a_host_that_was_rebooted_and_not_restored_is_restored_by_the_same_command(
    busy: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore = draining.restore
    monkeypatch.setattr(draining, "restore", refuse)
    with pytest.raises(DoneInPart, match=r"stopped at n2: no\."):
        roll(busy)
    assert busy.read().nodes["n2"].maintenance

    monkeypatch.setattr(draining, "restore", restore)
    assert roll(busy).rebooted == ["n3"]
    assert hosts(busy) == ["n2", "n3"] and running(busy) == HOME


def refuse(host: Host, node: str) -> None:
    raise Refused("no.")


def test_it_is_cancelled_between_its_parts(busy: FakeCluster) -> None:
    def cancel(caller: str, node: str, operation: str) -> None:
        if operation == "node.reboot":
            for job in busy.hosts["n1"].jobs._jobs.values():
                job.cancelled.set()

    busy.spy = cancel
    others = threading.enumerate()
    with pytest.raises((Cancelled, DoneInPart), match="cancelled"):
        roll(busy)
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer) and thread not in others:
            thread.join()
    assert hosts(busy) == ["n2"]

    busy.spy = lambda caller, node, operation: None
    assert roll(busy).rebooted == ["n3"]
    assert running(busy) == HOME


def test_a_finished_one_is_no_reason_not_to_begin_another(busy: FakeCluster) -> None:
    answer = roll(busy)
    busy.run("n2", rolling.reboot_last, node=answer.last, boot=answer.boot)

    assert roll(busy).rebooted == ["n2", "n3"]
