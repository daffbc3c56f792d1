"""mcvd on two nodes without a witness: web1 is managed, n1 and n2 hang on a tested device."""

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mcv.check import runner
from mcv.cluster import (
    arming,
    ha_entries,
    ha_list,
    ha_pair,
    ha_pair_look,
    ha_rounds,
    ha_status,
    members,
    sightings,
)
from mcv.cluster.arming_pair import ArmedPair
from mcv.errors import McvError, PeerUnreachable, Refused
from mcv.ha import handler_facts
from mcv.ha.at_once import at_once
from mcv.network import verbs as network
from mcv.rules import turns
from mcv.rules.ha import status as kept
from mcv.rules.ha.status import Status
from mcv.storage import drbd
from mcv.system import addresses
from mcv.vm import create
from tests.fakes.fenced import Fenced
from tests.fakes.fenced import two_fenced as two_fenced
from tests.lab.power import Mode

LONG = 30.0  # s that what is carried out beside the rounds has
D = 0.6  # s


@pytest.fixture
def pair(two_fenced: Fenced, monkeypatch: pytest.MonkeyPatch) -> Fenced:
    """Both are armed, and see each other; web1 is n1's, with a replica on n2. D is short."""
    monkeypatch.setattr("mcv.ha.timing.Timing.suspicion", D)
    monkeypatch.setattr(turns, "delay", lambda cluster: 1.5)
    monkeypatch.setattr("mcv.ha.pair.PATIENCE", 0.3)
    cluster = two_fenced.cluster
    cluster.run("n1", network.create, name="lan", bridge="br-lan")
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"], networks=["lan"])
    two_fenced.add()
    two_fenced.set("n1", "pdu:1")
    two_fenced.set("n2", "pdu:2")
    two_fenced.tested("n1", "pdu:1")
    two_fenced.tested("n2", "pdu:2")
    cluster.run("n1", ha_entries.add, name="web1")
    cluster.hosts["n1"].update("ha.set", "no grace", start_grace=0)
    two_fenced.hear()
    cluster.run("n1", arming.arm)
    two_fenced.power.requests.clear()
    return two_fenced


def until(pair: Fenced, *nodes: str, holds: Callable[[], object]) -> None:
    """Rounds on these nodes until something holds; who is silent is looked for."""
    end = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < end, [
            pair.cluster.hosts[node].managing.decision for node in nodes
        ]
        rounds(pair, *nodes)


def rounds(pair: Fenced, *nodes: str) -> None:
    for name in nodes:
        pair.cluster.look(name)
        if not pair.cluster.hosts[name].consensus.in_contact:
            with contextlib.suppress(McvError):
                pair.cluster.run(name, members.come_back)
        pair.cluster.run(name, sightings.watch_paths)
        pair.cluster.run(name, drbd.open_disks)  # sees what is in step
        pair.cluster.run(name, ha_rounds.decide)
    time.sleep(0.05)


def for_a_while(pair: Fenced, *nodes: str, seconds: float = 4 * D) -> None:
    end = time.monotonic() + seconds
    until(pair, *nodes, holds=lambda: time.monotonic() > end)


def runs(pair: Fenced, node: str) -> bool:
    return pair.cluster.domains[node].is_active("web1")


def running(pair: Fenced) -> Fenced:
    until(pair, "n1", "n2", holds=lambda: runs(pair, "n1") and status(pair, "n1") == "started")
    return pair


def held(pair: Fenced, node: str) -> Status:
    path = pair.cluster.hosts[node].settings.state / ha_pair.FILE
    return kept.decode(path.read_text()) if path.exists() else Status()


def status(pair: Fenced, node: str) -> str:
    found = held(pair, node).services.get("web1")
    return found.state if found else ""


def node_state(pair: Fenced, node: str, about: str) -> str:
    found = held(pair, node).nodes.get(about)
    return found.state if found else ""


def die(pair: Fenced, node: str) -> None:
    pair.machines[node].switch_off()
    pair.machines[node].switched.clear()


def reason(pair: Fenced, node: str, about: str) -> str:
    decision = pair.cluster.hosts[node].managing.decision
    assert decision is not None
    return decision.reasons.nodes[about].text


def test_what_is_wanted_is_started_by_the_first_node_that_is_online(pair: Fenced) -> None:
    running(pair)

    assert pair.cluster.hosts["n2"].managing.decision is None
    row = pair.cluster.run("n2", ha_list.list_)[0]
    assert (row.state, row.node, row.restarts) == ("started", "n1", 0)


def test_what_ended_is_started_again_and_counted_beside_the_journal(pair: Fenced) -> None:
    running(pair)

    pair.cluster.domains["n1"].stop("web1")

    until(pair, "n1", "n2", holds=lambda: runs(pair, "n1"))
    assert len(held(pair, "n1").services["web1"].restarts) == 1


def test_a_dead_node_is_switched_off_declared_and_its_vm_runs_elsewhere(pair: Fenced) -> None:
    running(pair)
    die(pair, "n1")

    until(pair, "n2", holds=lambda: runs(pair, "n2"))

    node = pair.cluster.read("n2").node("n1")
    assert node.status == "offline" and node.evidence is not None
    assert (node.evidence.kind, node.evidence.detail) == ("off", "mcv-ha")
    assert pair.power.actions("1")[:2] == ["off", "status"]
    assert set(pair.power.actions("2")) <= {"status"}
    until(pair, "n2", holds=lambda: pair.machines["n1"].switched == ["on"])


def test_the_node_that_comes_second_waits_and_asks_whether_it_is_being_shot(pair: Fenced) -> None:
    running(pair)
    die(pair, "n1")
    host = pair.cluster.hosts["n2"]
    turn = turns.turn("n2", "n1", host.both())

    for_a_while(pair, "n2", seconds=D + turn / 2)
    assert turn > D and not pair.power.actions()

    until(pair, "n2", holds=lambda: pair.power.actions("1"))
    own = [request for request in pair.power.requests if request.plug == "2"]
    assert [request.action for request in own][:1] == ["status"]
    assert own[0].at < min(r.at for r in pair.power.requests if r.plug == "1")


def test_a_node_that_is_being_shot_does_not_shoot(pair: Fenced) -> None:
    """Its own plug says off while it still runs: of two power supplies one is off already."""
    running(pair)
    die(pair, "n1")
    pair.power.mode("2", Mode.LIE_IN_BOTH)
    pair.power._lied.add("2")

    until(pair, "n2", holds=lambda: "status" in pair.power.actions("2"))
    for_a_while(pair, "n2")

    assert not pair.power.actions("1")
    assert "is being shot" in reason(pair, "n2", "n1")


def test_a_node_that_was_not_in_contact_since_its_start_shoots_nobody(pair: Fenced) -> None:
    running(pair)
    for name in ("n1", "n2"):
        die(pair, name)
    pair.cluster.down.discard("n2")
    pair.cluster.reboot("n2")
    pair.cluster.boot("n2")

    for_a_while(pair, "n2", seconds=3.0)

    assert not pair.power.actions() and not runs(pair, "n2")
    assert "has not been in contact with n1" in reason(pair, "n2", "n1")
    shown = pair.cluster.run("n2", ha_status.status)
    assert any("mcv fence confirm n1" in line for line in shown.attention)
    assert (shown.term, [(n.lease_left, n.watchdog) for n in shown.nodes]) == (
        None,
        [(None, None)] * 2,
    )


def test_a_silent_device_moves_nothing_and_an_operator_has_the_word(pair: Fenced) -> None:
    running(pair)
    pair.power.mode("1", Mode.DEAF)
    die(pair, "n1")

    until(
        pair,
        "n2",
        holds=lambda: (
            pair.cluster.hosts["n2"].managing.decision
            and "could not be switched off" in reason(pair, "n2", "n1")
        ),
    )

    assert pair.cluster.read("n2").node("n1").status == "online" and not runs(pair, "n2")
    assert "mcv fence confirm n1" in reason(pair, "n2", "n1")
    pair.cluster.run("n2", members.offline, names=["n1"], confirm_dead=True)
    until(pair, "n2", holds=lambda: runs(pair, "n2"))
    evidence = pair.cluster.read("n2").node("n1").evidence
    assert evidence is not None and evidence.kind == "word"


def test_a_daemon_that_is_killed_after_its_shot_goes_on_and_asks_first(pair: Fenced) -> None:
    running(pair)
    die(pair, "n1")

    def declares(caller: str, node: str, operation: str) -> None:
        raise PeerUnreachable("not yet", "")

    pair.cluster.hosts["n2"].consensus.declare = declares  # type: ignore[method-assign,assignment]
    until(pair, "n2", holds=lambda: node_state(pair, "n2", "n1") == "fencing")
    until(pair, "n2", holds=lambda: pair.power.actions("1")[-1:] == ["status"])
    pair.power.requests.clear()
    pair.cluster.boot("n2")

    until(pair, "n2", holds=lambda: runs(pair, "n2"))

    assert [action for action in pair.power.actions("1") if action != "on"] == ["status"]


def test_a_node_that_comes_back_follows_and_what_it_runs_is_counted_anew(pair: Fenced) -> None:
    running(pair)
    die(pair, "n1")
    until(pair, "n2", holds=lambda: pair.machines["n1"].switched == ["on"])

    until(pair, "n1", "n2", holds=lambda: pair.cluster.read("n1").node("n1").status == "online")

    until(pair, "n1", "n2", holds=lambda: pair.cluster.hosts["n1"].managing.decision is not None)
    for_a_while(pair, "n1", "n2", seconds=1.0)
    assert pair.cluster.hosts["n2"].managing.decision is None
    assert pair.cluster.twice == []


def test_terms_of_two_nodes_never_meet(pair: Fenced) -> None:
    envs = [ha_pair.HostPairEnv(pair.cluster.hosts[name]) for name in ("n1", "n2")]
    given = [{at_once(env.term(above)) for above in range(200)} for env in envs]

    assert not given[0] & given[1]
    assert all(at_once(env.term(above)) > above for env in envs for above in range(200))


def test_what_was_kept_and_is_torn_is_as_if_nothing_was(pair: Fenced) -> None:
    host = pair.cluster.hosts["n1"]
    (host.settings.state / ha_pair.FILE).write_text("{torn")
    env = ha_pair.HostPairEnv(host)
    assert at_once(env.kept()) == Status()


# Arming


def arm(fenced: Fenced, node: str = "n1") -> ArmedPair:
    fenced.hear()
    armed = fenced.cluster.run(node, arming.arm)
    assert isinstance(armed, ArmedPair)
    return armed


def test_arming_two_nodes_is_refused_with_every_reason_at_once(two_fenced: Fenced) -> None:
    two_fenced.add()
    two_fenced.set("n1", "pdu:1")

    with pytest.raises(Refused) as refused:
        arm(two_fenced)

    said = json.dumps(refused.value.problems)
    assert "No level of n1 has tested plugs" in said and "n2 has no fence device" in said
    assert not two_fenced.cluster.read("n1").ha.armed


def test_arming_asks_the_devices_and_warns_of_what_cannot_be_seen(two_fenced: Fenced) -> None:
    for node in ("n1", "n2"):
        if node == "n1":
            two_fenced.add()
        two_fenced.set(node, f"pdu:{node[1]}")
        two_fenced.tested(node, f"pdu:{node[1]}")
    two_fenced.power.mode("2", Mode.DEAF)
    with pytest.raises(Refused, match="No tested level of n2"):
        arm(two_fenced)
    two_fenced.power.mode("2", Mode.WELL)

    armed = arm(two_fenced)

    assert armed.wait is None and two_fenced.cluster.read("n2").ha.armed
    assert sum("with the cord out" in line for line in armed.warnings) == 2
    with pytest.raises(Refused, match="armed already"):
        two_fenced.cluster.run("n2", arming.arm)
    two_fenced.cluster.run("n2", arming.disarm)
    assert not two_fenced.cluster.read("n1").ha.armed


def test_a_second_device_needs_no_warning(two_fenced: Fenced) -> None:
    for device in ("pdu", "bmc"):
        two_fenced.add(device)
    for node in ("n1", "n2"):
        for level, device in enumerate(("pdu", "bmc"), 1):
            two_fenced.set(node, f"{device}:{node[1]}", level=level)
            two_fenced.tested(node, f"{device}:{node[1]}")

    armed = arm(two_fenced)

    assert not any("cord" in line for line in armed.warnings)


def test_devices_on_the_clusters_own_link_are_warned_of(
    two_fenced: Fenced, monkeypatch: pytest.MonkeyPatch, units: Path
) -> None:
    two_fenced.add()
    for node in ("n1", "n2"):
        two_fenced.set(node, f"pdu:{node[1]}")
        two_fenced.tested(node, f"pdu:{node[1]}")
    link = two_fenced.cluster.read("n1").node("n1").ip_address
    monkeypatch.setattr(addresses, "source_to", lambda address: link)

    armed = arm(two_fenced)

    assert [line[:14] for line in armed.warnings if "interface" in line] == ["n1 reaches pdu"]
    found = runner.check(two_fenced.cluster.hosts["n2"]).findings
    assert [each.node for each in found if "own link" in each.message] == ["n1"]


def test_an_armed_pair_stays_two(pair: Fenced) -> None:
    with pytest.raises(McvError, match="armed"):
        pair.cluster.hosts["n1"].update("store.etcd", "x", id="a", voters=["n1"], epoch="b")
    with pytest.raises(Refused) as refused:
        pair.cluster.run("n1", members.remove_node, node="n2")
    assert "First: mcv ha disarm" in json.dumps(refused.value.problems)


def test_a_replica_that_is_behind_is_not_taken_over(pair: Fenced) -> None:
    running(pair)
    die(pair, "n1")
    host = pair.cluster.hosts["n2"]
    host.observations._in_step.clear()

    until(pair, "n2", holds=lambda: status(pair, "n2") == "blocked")

    assert pair.cluster.read("n2").vm("web1").node == "n1" and not runs(pair, "n2")
    assert ha_pair_look.why_not_taken(host, pair.cluster.read("n2").vm("web1"))


def test_a_declaration_that_was_cut_off_is_finished_with_its_evidence(
    pair: Fenced, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(pair)
    die(pair, "n1")
    agreement = pair.cluster.agreements["n2"]

    def dies(*_: object) -> None:
        raise PeerUnreachable("the daemon is killed", "")

    monkeypatch.setattr(agreement.declaration._rounds, "collect", dies)
    with pytest.raises(PeerUnreachable):
        pair.cluster.hosts["n2"].consensus.declare(
            ["n1"], id="x.1", who="mcv-ha", why="dead", alive=list, evidence="off"
        )
    assert pair.cluster.read("n2").node("n1").status == "online"
    pair.cluster.boot("n2")

    until(pair, "n2", holds=lambda: pair.cluster.read("n2").node("n1").status == "offline")

    evidence = pair.cluster.read("n2").node("n1").evidence
    assert evidence is not None and evidence.kind == "off"


def test_silence_is_counted_on_every_path_and_by_a_clock_that_nobody_sets(pair: Fenced) -> None:
    seen = pair.cluster.hosts["n1"].observations
    seen._now = lambda: 0.0  # somebody sets the time of day
    assert seen.silence("n9") is None and not seen.was_in_contact("n9")

    seen._contact["n2"] -= 60.0
    assert 60.0 <= (seen.silence("n2") or 0.0) < 90.0
    seen.note_connected("n2")
    assert (seen.silence("n2") or 0.0) < 30.0 and seen.was_in_contact("n2")

    seen._heard_in["n2"] = "another boot"
    assert not seen.was_in_contact("n2")


def test_what_was_counted_ends_when_two_are_armed_no_more(pair: Fenced) -> None:
    running(pair)
    assert status(pair, "n1") == "started"

    pair.cluster.run("n1", arming.disarm)
    rounds(pair, "n1", "n2")

    assert held(pair, "n1") == Status() and pair.cluster.hosts["n1"].managing.decision is None


def test_own_guests_go_on_only_as_long_as_the_other_is_silent(pair: Fenced) -> None:
    running(pair)
    host = pair.cluster.hosts["n1"]
    host.update("ha.set", "go on", on_fence_failure="continue")
    pair.power.mode("2", Mode.DEAF)
    pair.cluster.down.add("n2")

    until(pair, "n1", holds=lambda: host.managing.alone == {"n2"})
    facts = handler_facts.read(host.settings.state)
    assert facts is not None and facts.alone == ("n2",)
    assert pair.cluster.read("n1").node("n2").status == "online"

    pair.cluster.down.discard("n2")
    until(pair, "n1", "n2", holds=lambda: not host.managing.alone)
    facts = handler_facts.read(host.settings.state)
    assert facts is not None and facts.alone == ()
