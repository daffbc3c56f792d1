"""mcv ha test --kill: a host is fenced on purpose, and what follows is timed."""

import threading
import time
from typing import Any

import pytest

from mcv.cluster import fence_power, ha_drill, ha_entries, ha_list, ha_look
from mcv.errors import DoneInPart, McvError, Refused
from mcv.host import DryRun
from mcv.network import verbs as network
from tests.fakes.armed import add_vm, arm
from tests.fakes.fenced import Fenced
from tests.fakes.fenced import fenced as fenced
from tests.lab.power import Mode


@pytest.fixture
def ready(fenced: Fenced, monkeypatch: pytest.MonkeyPatch) -> Fenced:
    """An armed cluster; web1 is managed and n3's, which hangs on a plug that was tested."""
    monkeypatch.setattr(ha_drill, "PAUSE", 0.02)
    monkeypatch.setattr(ha_drill, "DECLARED", 1.0)
    monkeypatch.setattr(ha_drill, "RECOVERED", 1.0)
    fenced.cluster.run("n1", network.create, name="lan", bridge="br-lan")
    add_vm(fenced.cluster, "web1", "n3", "n1")
    fenced.add("pdu")
    fenced.set("n3", "pdu:3")
    fenced.tested("n3", "pdu:3")
    arm(fenced.cluster)
    fenced.cluster.run("n1", ha_entries.add, name="web1")
    fenced.power.requests.clear()
    return fenced


def problems(told: Any) -> str:
    return " ".join(message for message, _ in told.value.problems) or told.value.message


def declare_when_off(ready: Fenced) -> threading.Thread:
    """What the manager does, as soon as n3 is off."""

    def declare() -> None:
        while ready.machines["n3"].is_on():
            time.sleep(0.01)
        host = ready.cluster.hosts["n1"]
        params = {"leases": {"n3": 0}, "kind": "off", "epoch": "e" * 16, "detail": "mcv-ha"}
        host.consensus.propose("node.taken", params, id="d.1", who="mcv-ha", why="dead")

    thread = threading.Thread(target=declare, daemon=True)
    thread.start()
    return thread


def row(state: str, node: str) -> ha_list.HaRow:
    return ha_list.HaRow(
        name="web1",
        kind="vm",
        wanted="started",
        state=state,
        node=node,
        home="n3",
        domain="",
        restarts=None,
        relocates=None,
        reason="",
        attention=None,
    )


def test_each_part_is_timed_until_everything_runs_elsewhere(
    ready: Fenced, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([row("started", "n3"), row("stopped", "n1")])
    monkeypatch.setattr(ha_list, "list_", lambda host: [next(looks, row("started", "n1"))])
    declaring = declare_when_off(ready)

    drill = ready.cluster.run("n1", ha_drill.drill, node="n3")

    declaring.join(5)
    assert isinstance(drill, ha_drill.Drill) and drill.ok
    assert [part.part for part in drill.parts] == ["off, and seen off", "declared offline"]
    assert [(each.name, each.node) for each in drill.services] == [("web1", "n1")]
    assert ready.machines["n3"].switched == ["off"]


def test_what_does_not_run_in_the_end_is_told(
    ready: Fenced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ha_list, "list_", lambda host: [row("blocked", "n3")])
    declare_when_off(ready)

    drill = ready.cluster.run("n1", ha_drill.drill, node="n3")

    assert isinstance(drill, ha_drill.Drill) and not drill.ok
    assert [(each.node, each.seconds) for each in drill.services] == [("", None)]


def test_a_host_that_nobody_declares_dead_is_told_of(ready: Fenced) -> None:
    with pytest.raises(DoneInPart, match="n3 is off, and was not declared offline"):
        ready.cluster.run("n1", ha_drill.drill, node="n3")


def test_a_host_that_was_not_seen_off_is_told_of(ready: Fenced) -> None:
    ready.power.mode("3", Mode.DEAF)

    with pytest.raises(DoneInPart, match="n3 was not seen to be off"):
        ready.cluster.run("n1", ha_drill.drill, node="n3")


def test_all_that_speaks_against_a_drill_is_told_at_once(fenced: Fenced) -> None:
    with pytest.raises(Refused) as refused:
        fenced.cluster.run("n1", ha_drill.drill, node="n3")

    said = problems(refused)
    for part in ("not armed", "manages nothing", "no level of tested plugs"):
        assert part in said


def test_with_a_member_silent_there_is_no_drill(ready: Fenced) -> None:
    ready.cluster.down.add("n2")

    with pytest.raises(McvError, match="n2"):
        ready.cluster.run("n1", ha_drill.drill, node="n3")

    assert ready.machines["n3"].switched == []


def test_a_dry_run_switches_nothing(ready: Fenced) -> None:
    shown = ready.cluster.run("n1", ha_drill.drill, node="n3", dry_run=True)

    assert isinstance(shown, DryRun)
    assert "web1 starts elsewhere" in shown.plan[1]
    assert ready.power.requests == []


def test_whoever_decides_waits_until_the_drill_has_seen_the_host_off(
    ready: Fenced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second fencing would be refused, and be told of as a failure."""
    told = []
    carry_out = fence_power.carry_out

    def watched(*params: Any) -> Any:
        told.append(ready.cluster.run("n2", ha_look.look).nodes["n3"].switched)
        return carry_out(*params)

    monkeypatch.setattr(fence_power, "carry_out", watched)

    with pytest.raises(DoneInPart, match="was not declared offline"):
        ready.cluster.run("n1", ha_drill.drill, node="n3")

    seen = ready.cluster.run("n2", ha_look.look).nodes["n3"]
    assert told == ["mcv ha test --kill n3"]
    assert (seen.switched, seen.kept_off) == ("", False)
