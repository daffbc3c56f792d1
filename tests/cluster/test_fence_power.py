"""mcv fence off, on, status: by plugs that were tested, asked by a node that is not the target."""

import time
from typing import Any

import pytest

from mcv.api.fence_table import OF_FENCING
from mcv.cluster import fence_levels, fence_power, ha_look, ha_reports
from mcv.errors import Busy, DoneInPart, NotFound, Refused
from mcv.ha.fence import Action, Fencing
from mcv.host import DryRun
from mcv.system import lease
from mcv.system.lease import LeaseFile
from tests.fakes.fenced import Fenced
from tests.fakes.fenced import fenced as fenced
from tests.lab.power import PASSWORD, Mode


@pytest.fixture
def hung(fenced: Fenced) -> Fenced:
    """n3 hangs on a plug that was tested; n2 on one that was not."""
    fenced.add("pdu")
    fenced.add("bmc3")
    fenced.set("n3", "pdu:3")
    fenced.set("n2", "pdu:2")
    fenced.tested("n3", "pdu:3")
    fenced.power.requests.clear()
    return fenced


def states(rows: object) -> list[tuple[str, int, str, str, bool]]:
    assert isinstance(rows, list)
    return [(row.node, row.level, f"{row.device}:{row.port}", row.state, row.ok) for row in rows]


def under_lease(hung: Fenced) -> Fencing:
    """An order to switch n3 off that n1 gives as the manager of an armed cluster."""
    levels = fence_power.levels_of(hung.cluster.read(), "n3")
    return Fencing(uid="uid", node="n3", levels=levels, under_lease=True)


def test_levels_are_set_one_by_one_and_say_what_was_never_tested(hung: Fenced) -> None:
    plugs = [["bmc3", "1"], ["bmc3", "2"]]
    rows = hung.cluster.run("n1", fence_levels.set_, node="n3", level=2, plugs=plugs)

    assert [(row.level, f"{row.device}:{row.port}", bool(row.tested)) for row in rows] == [
        (1, "pdu:3", True),
        (2, "bmc3:1", False),
        (2, "bmc3:2", False),
    ]
    left = hung.cluster.run("n1", fence_levels.unset, node="n3", level=1)
    assert [(row.level, row.port) for row in left] == [(1, "1"), (1, "2")]
    assert hung.cluster.run("n1", fence_levels.unset, node="n3") == []
    with pytest.raises(Refused, match="n3 has no fence device"):
        hung.cluster.run("n1", fence_levels.unset, node="n3")


def test_a_level_with_plugs_that_cannot_be_is_refused_with_all_of_them(hung: Fenced) -> None:
    plugs = [["pdu", ""], ["x", ""]]
    with pytest.raises(Refused) as refused:
        hung.cluster.run("n1", fence_levels.set_, node="n1", level=1, plugs=plugs)

    assert [message for message, _ in refused.value.problems] == [
        "pdu needs to know which plug.",
        "There is no fence device x.",
    ]
    with pytest.raises(NotFound, match="no node n9"):
        hung.cluster.run("n1", fence_levels.set_, node="n9", level=1, plugs=[["pdu", "1"]])


def test_a_node_is_switched_off_and_seen_off(hung: Fenced) -> None:
    rows = hung.cluster.run("n1", fence_power.off, node="n3")

    assert states(rows) == [("n3", 1, "pdu:3", "off", True)]
    assert hung.machines["n3"].switched == ["off"]
    assert hung.power.actions("3") == ["off", "status", "status"]


def test_a_node_whose_plugs_were_never_tested_is_not_switched_off(hung: Fenced) -> None:
    with pytest.raises(Refused, match="tested plugs alone") as refused:
        hung.cluster.run("n1", fence_power.off, node="n2")

    assert refused.value.hint == "mcv fence test n2 --off"
    assert hung.power.requests == []


def test_a_node_without_plugs_is_told_how_it_gets_some(hung: Fenced) -> None:
    with pytest.raises(NotFound, match="n1 has no fence device"):
        hung.cluster.run("n2", fence_power.off, node="n1")


def test_a_device_that_lies_leaves_it_open_and_says_so(
    hung: Fenced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcv.ha.fence.CONFIRM", 0.2)
    monkeypatch.setattr("mcv.ha.fence.AGAIN", 0.05)
    hung.power.mode("3", Mode.LIE)

    with pytest.raises(DoneInPart, match="n3 was not seen to be off") as told:
        hung.cluster.run("n1", fence_power.off, node="n3")

    assert "mcv fence confirm n3" in told.value.hint
    assert hung.machines["n3"].is_on()


def test_another_node_is_asked_where_this_one_does_not_reach_the_device(hung: Fenced) -> None:
    hung.hear()
    hung.cluster.hosts["n1"].fences.secrets.forget()

    rows = hung.cluster.run("n1", fence_power.off, node="n3")

    assert states(rows) == [("n3", 1, "pdu:3", "off", True)]
    assert hung.machines["n3"].switched == ["off"]


def test_no_node_asks_its_own_devices(hung: Fenced) -> None:
    host = hung.cluster.hosts["n3"]

    with pytest.raises(Refused, match="does not ask its own"):
        fence_power.ask(host, "n3", "pdu", "3", "off")
    assert OF_FENCING["fence.off"].to(host, {"node": "n3"}) == "n1"
    assert OF_FENCING["fence.off"].to(host, {"node": "n2"}) == "n3"
    assert hung.power.requests == []


@pytest.mark.parametrize(
    ("node", "device", "port", "action"),
    [
        ("n3", "pdu", "2", "off"),
        ("n3", "bmc3", "3", "off"),
        ("n3", "pdu", "3", "reboot"),
        ("n3", "pdu", "3", "metadata"),
    ],
)
def test_a_member_is_asked_for_a_node_s_own_plugs_alone(
    hung: Fenced, node: str, device: str, port: str, action: str
) -> None:
    with pytest.raises(Refused):
        fence_power.ask(hung.cluster.hosts["n1"], node, device, port, action)
    assert hung.power.requests == []


def test_every_plug_is_switched_on(hung: Fenced) -> None:
    hung.cluster.run("n1", fence_power.off, node="n3")

    rows = hung.cluster.run("n1", fence_power.on, node="n3")

    assert states(rows) == [("n3", 1, "pdu:3", "on", True)]
    hung.power.mode("3", Mode.DEAF)
    with pytest.raises(DoneInPart, match="does not switch on"):
        hung.cluster.run("n1", fence_power.on, node="n3")


def test_the_status_of_all_nodes_is_asked_by_nodes_that_can(hung: Fenced) -> None:
    hung.hear()
    hung.power.mode("2", Mode.DEAF)

    rows = fence_power.status(hung.cluster.hosts["n1"])

    assert states(rows) == [
        ("n2", 1, "pdu:2", "unknown", False),
        ("n3", 1, "pdu:3", "on", True),
    ]
    assert "Connection timed out" in rows[0].message
    assert states(fence_power.status(hung.cluster.hosts["n3"], "n3"))[0][3] == "on"


def test_a_dry_run_shows_levels_the_very_input_without_secrets_and_the_status(
    hung: Fenced,
) -> None:
    shown = hung.cluster.run("n1", fence_power.off, node="n3", dry_run=True)

    assert isinstance(shown, DryRun)
    assert shown.plan[0] == "level 1: pdu:3 is on"
    assert shown.plan[1].startswith("  fence_lab is told: action=off ip=127.0.0.1")
    assert "password=********" in shown.plan[1] and "plug=3" in shown.plan[1]
    assert PASSWORD not in str(shown)
    assert hung.machines["n3"].switched == []


def test_of_two_that_switch_a_node_at_once_one_is_refused(hung: Fenced) -> None:
    host = hung.cluster.hosts["n1"]

    with fence_power.alone(host, "n3"), pytest.raises(Busy, match="being switched already"):
        hung.cluster.run("n1", fence_power.off, node="n3")

    assert hung.machines["n3"].switched == []


def test_an_armed_node_without_a_lease_calls_no_agent(hung: Fenced) -> None:
    host = hung.cluster.hosts["n1"]

    outcome = fence_power.carry_out(host, under_lease(hung), Action.OFF)

    assert outcome.message == "n1's own lease has ended"
    assert hung.power.requests == []
    lease.write(LeaseFile(lease.boot_id(), lease.now() + 60), host.settings.run)
    assert fence_power.carry_out(host, under_lease(hung), Action.OFF).is_off


def test_an_agent_s_run_ends_with_the_lease(hung: Fenced) -> None:
    host = hung.cluster.hosts["n1"]
    hung.power.mode("3", Mode.HANG)
    lease.write(LeaseFile(lease.boot_id(), lease.now() + 0.6), host.settings.run)

    began = lease.now()
    outcome = fence_power.carry_out(host, under_lease(hung), Action.OFF)

    assert not outcome.is_off
    assert lease.now() - began < 5


def test_whoever_decides_hears_what_operators_switch_and_have_switched_off(
    hung: Fenced, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = hung.cluster.hosts["n1"]
    told = []
    carry_out = fence_power.carry_out

    def watched(*params: Any) -> Any:
        told.append(hung.cluster.run("n1", ha_reports.report).switching)
        return carry_out(*params)

    monkeypatch.setattr(fence_power, "carry_out", watched)
    hung.cluster.run("n1", fence_power.off, node="n3")
    off = hung.cluster.run("n1", ha_reports.report)
    hung.cluster.run("n1", fence_power.on, node="n3")
    on = hung.cluster.run("n1", ha_reports.report)

    assert told == [{"n3": "mcv fence off n3"}, {"n3": "mcv fence on n3"}]
    assert (off.switching, off.kept_off) == ({}, ["n3"])
    assert (on.switching, on.kept_off) == ({}, [])
    assert host.fences.by_operator.switching() == {}


def test_a_node_that_was_there_since_is_kept_off_no_more(hung: Fenced) -> None:
    by_operator = hung.cluster.hosts["n1"].fences.by_operator
    by_operator.switched("n3", is_off=True)

    assert by_operator.kept_off(lambda _: None) == ["n3"]
    assert by_operator.kept_off(lambda _: time.time() + 2) == ["n3"]  # an answer under way
    assert by_operator.kept_off(lambda _: time.time() + 20) == []
    assert by_operator.kept_off(lambda _: None) == []


def test_a_node_that_could_not_be_switched_off_is_not_kept_off(hung: Fenced) -> None:
    hung.power.mode("3", Mode.LIE)

    with pytest.raises(DoneInPart):
        hung.cluster.run("n1", fence_power.off, node="n3")

    assert hung.cluster.run("n1", ha_reports.report).kept_off == []


def test_of_two_commands_one_that_ends_leaves_the_other(hung: Fenced) -> None:
    by_operator = hung.cluster.hosts["n1"].fences.by_operator

    with by_operator.at_work("n3", "mcv fence test n3 --off"):
        with by_operator.at_work("n3", "mcv fence on n3"):
            pass
        assert by_operator.switching() == {"n3": "mcv fence test n3 --off"}


def test_a_node_that_falls_silent_counts_as_at_its_switching_for_a_while(
    hung: Fenced, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hung.cluster.hosts["n1"].fences.by_operator.at_work("n3", "mcv fence off n3"):
        seen = hung.cluster.run("n2", ha_look.look)
        hung.cluster.down.add("n1")
        still = hung.cluster.run("n2", ha_look.look)
        monkeypatch.setattr(ha_look, "STILL", 0.0)
        over = hung.cluster.run("n2", ha_look.look)

    told = [look.nodes["n3"].switched for look in (seen, still, over)]
    assert told == ["mcv fence off n3", "mcv fence off n3", ""]
