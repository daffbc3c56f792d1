"""mcv fence test: a plug counts once it was seen to switch that very node, and no other."""

import itertools
import time
from typing import Any

import pytest

from mcv.cluster import etcd_store, fence_trial, ha_rounds
from mcv.errors import McvError, Refused
from mcv.host import DryRun
from mcv.network import verbs as network
from mcv.recovery import journal_recovery
from mcv.system import service_notes
from mcv.system.service_notes import ServiceNote
from tests.fakes.armed import add_vm, arm, renew
from tests.fakes.fenced import Fenced
from tests.fakes.fenced import fenced as fenced
from tests.lab.power import Mode


@pytest.fixture
def hung(fenced: Fenced) -> Fenced:
    """n3 hangs on two levels, and nothing was tested."""
    fenced.add("pdu")
    fenced.add("bmc3")
    fenced.set("n3", "pdu:3")
    fenced.set("n3", "bmc3:3", level=2)
    fenced.power.requests.clear()
    return fenced


def trial(hung: Fenced, **params: Any) -> list[tuple[int, bool, bool]]:
    """Level, whether it was tested, whether it is well."""
    rows = hung.cluster.run("n1", fence_trial.trial, node="n3", **params)
    assert isinstance(rows, list)
    return [(row.level, bool(row.tested), row.ok) for row in rows]


def written(hung: Fenced) -> list[list[bool]]:
    levels = hung.cluster.read().node("n3").levels
    return [[bool(plug.tested) for plug in level] for level in levels]


def test_each_level_switches_the_node_off_and_on_and_is_written_down(hung: Fenced) -> None:
    assert trial(hung) == [(1, True, True), (2, True, True)]

    assert hung.machines["n3"].switched == ["off", "on", "off", "on"]
    assert written(hung) == [[True], [True]]
    assert hung.cluster.read().node("n3").claim is None
    assert list(hung.cluster.hosts["n1"].journal.entries()) == []


def test_one_level_is_tested_alone(hung: Fenced) -> None:
    assert trial(hung, level=2) == [(2, True, True)]
    assert written(hung) == [[False], [True]]


def test_without_off_plugs_are_asked_and_nothing_is_switched(hung: Fenced) -> None:
    rows = fence_trial.look(hung.cluster.hosts["n1"], "n3")

    assert [(row.state, row.ok) for row in rows] == [("on", True), ("on", True)]
    assert rows[0].message == "never tested: mcv fence test n3 --off"
    assert hung.machines["n3"].switched == []


def test_a_plug_that_is_off_while_its_node_answers_is_not_well(hung: Fenced) -> None:
    hung.power.mode("3", Mode.WRONG_PLUG, wired="2")
    hung.cluster.down.add("n2")

    rows = fence_trial.look(hung.cluster.hosts["n1"], "n3")

    assert [(row.state, row.ok) for row in rows] == [("off", False), ("off", False)]
    assert "n3 answers, and this plug is off" in rows[0].message


def test_a_plug_that_switches_another_node_is_not_tested_and_that_node_comes_on(
    hung: Fenced,
) -> None:
    hung.power.mode("3", Mode.WRONG_PLUG, wired="2")

    assert trial(hung, level=1) == [(1, False, False)]

    assert hung.machines["n2"].switched == ["off", "on"]
    assert written(hung) == [[False], [False]]
    assert hung.cluster.read().node("n3").claim is None


def test_a_level_that_takes_another_node_along_is_not_tested(hung: Fenced) -> None:
    here, other = hung.machines["n3"], hung.machines["n2"]
    off, on = here.switch_off, here.switch_on

    def both(this: Any, that: Any) -> Any:
        return lambda: (this(), that())

    here.switch_off = both(off, other.switch_off)  # type: ignore[method-assign]
    here.switch_on = both(on, other.switch_on)  # type: ignore[method-assign]

    rows = hung.cluster.run("n1", fence_trial.trial, node="n3", level=1)

    assert isinstance(rows, list)
    assert not rows[0].ok and "n2 went down as well" in rows[0].message
    assert written(hung) == [[False], [False]]


@pytest.mark.parametrize("mode", [Mode.LIE_IN_BOTH, Mode.DEAF])
def test_a_device_that_lies_or_is_deaf_is_not_tested(hung: Fenced, mode: Mode) -> None:
    hung.power.mode("3", mode)

    assert trial(hung) == [(1, False, False), (2, False, False)]
    assert written(hung) == [[False], [False]]


def test_a_node_that_does_not_come_back_was_not_tested(hung: Fenced) -> None:
    hung.machines["n3"].comes_back = False

    with pytest.raises(McvError):
        hung.cluster.run("n1", fence_trial.trial, node="n3", level=1)

    assert written(hung) == [[False], [False]]


def test_a_host_that_came_back_in_the_same_boot_was_never_off(hung: Fenced) -> None:
    machine = hung.machines["n3"]
    machine.switch_on = lambda: machine.cluster.down.discard("n3")  # type: ignore[method-assign]

    assert trial(hung, level=1) == [(1, False, False)]

    assert written(hung) == [[False], [False]]


def test_a_majority_whose_daemon_died_in_the_middle_switches_the_node_on(
    hung: Fenced, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung.cluster.run("n1", etcd_store.to_etcd)

    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(fence_trial, "_await_silence", die)
        hung.cluster.run("n1", fence_trial.trial, node="n3", level=1)
    assert hung.machines["n3"].switched == ["off"]

    host = hung.cluster.boot("n1")
    hung.cluster.look("n1")
    journal_recovery.resume_all(host)

    assert hung.machines["n3"].switched == ["off", "on"]
    assert written(hung) == [[False], [False]]
    assert list(host.journal.entries()) == []


def test_a_node_with_guests_is_not_switched_off_for_a_test(hung: Fenced) -> None:
    hung.cluster.run("n1", network.create, name="lan", bridge="br-lan")
    add_vm(hung.cluster, "web1", "n3", "n1")
    hung.cluster.domains["n3"].start("web1")

    with pytest.raises(Refused, match="n3 runs web1") as refused:
        trial(hung)

    assert refused.value.hint == "mcv evacuate n3"
    assert hung.machines["n3"].switched == []


def test_a_member_that_is_silent_forbids_a_test(hung: Fenced) -> None:
    hung.cluster.down.add("n2")

    with pytest.raises(McvError):
        trial(hung)

    assert hung.machines["n3"].switched == []


def test_a_node_without_plugs_has_nothing_to_test(hung: Fenced) -> None:
    with pytest.raises(Refused, match="n2 has no fence device"):
        hung.cluster.run("n1", fence_trial.trial, node="n2")
    with pytest.raises(Refused, match="n3 has no level 7"):
        hung.cluster.run("n1", fence_trial.trial, node="n3", level=7)


def test_a_dry_run_tells_what_a_test_does(hung: Fenced) -> None:
    shown = hung.cluster.run("n1", fence_trial.trial, node="n3", dry_run=True)

    assert isinstance(shown, DryRun)
    assert shown.plan[0].startswith("level 1: n3 is switched off by pdu:3, falls silent")
    assert hung.machines["n3"].switched == []


def test_a_node_with_services_is_not_switched_off_for_a_test(hung: Fenced) -> None:
    note = ServiceNote(name="www", address="192.0.2.80/24", bridge="br0")
    service_notes.write(hung.cluster.hosts["n3"].settings.run, note)

    with pytest.raises(Refused, match="n3 runs www"):
        trial(hung)

    assert hung.machines["n3"].switched == []


def test_whoever_decides_lets_the_node_be_that_is_tested(
    hung: Fenced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """n3 owns web1, its lease ends, and its watchdog would prove that it is dead."""
    cluster = hung.cluster
    cluster.run("n1", network.create, name="lan", bridge="br-lan")
    add_vm(cluster, "web1", "n3", "n1")
    arm(cluster)
    cluster.run("n1", lambda host: host.update("ha.set", "no grace", start_grace=0))
    stopped = {"wanted": "stopped"}
    cluster.run("n1", lambda host: host.update("ha.add", "manage", name="web1", entry=stopped))
    monkeypatch.setattr("mcv.ha.timing.wait", lambda *_: 0.2)
    monkeypatch.setattr("mcv.ha.timing.Timing.suspicion", 0.1)
    sequences = itertools.count(10)

    def decide(*leased: str) -> None:
        """n2 decides for a second: those that are there renew their leases."""
        for _ in range(20):
            for name in leased:
                renew(cluster, name, next(sequences))
            cluster.run("n2", ha_rounds.decide)
            time.sleep(0.03)

    decide("n1", "n2", "n3")
    silent = fence_trial._await_silence

    def await_silence(*params: Any) -> None:
        decide("n1", "n2")
        decision = cluster.hosts["n2"].managing.decision
        assert decision is not None and "mcv fence test n3" in decision.reasons.nodes["n3"].text
        silent(*params)

    monkeypatch.setattr(fence_trial, "_await_silence", await_silence)

    assert trial(hung, level=1) == [(1, True, True)]

    assert cluster.read("n1").node("n3").status == "online"
    assert cluster.read("n1").vm("web1").node == "n3"
