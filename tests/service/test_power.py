"""A service starts in order, stops in reverse, moves, and has its address on one node."""

import pytest
from msgspec.structs import replace

from mcv import wanted
from mcv.document.subject import Subject
from mcv.errors import Busy, CommandFailed, DoneInPart, McvError, Refused
from mcv.service import power, running
from mcv.system import lease, service_notes
from tests.fakes.armed import arm
from tests.fakes.cluster import FakeCluster
from tests.service.names import ADDRESS, IP, STARTED, STOPPED, A, B


def start(served: FakeCluster) -> None:
    served.run("n1", power.start, name="www")
    served.segment.happened.clear()


def test_the_address_comes_first_and_the_parts_in_their_order(served: FakeCluster) -> None:
    state = served.run("n1", power.start, name="www")

    assert served.segment.happened == STARTED
    assert (state.state, state.wanted, state.node) == ("started", "started", "n1")
    note = service_notes.read(served.hosts["n1"].settings.run, "www")
    assert note is not None and note.address == ADDRESS
    assert note.units == ("nginx.service", "mcv-service-www-1.service", "mcv-service-www-2.service")


def test_the_parts_stop_in_reverse_and_the_address_goes_last(served: FakeCluster) -> None:
    start(served)

    state = served.run("n1", power.stop, name="www")

    assert served.segment.happened == STOPPED
    assert (state.state, state.wanted) == ("stopped", "stopped")
    assert service_notes.all_(served.hosts["n1"].settings.run) == []


def test_a_plan_says_each_step_and_nothing_is_done(served: FakeCluster) -> None:
    before = served.picture()

    begin = served.run("n1", power.start, name="www", dry_run=True)
    end = served.run("n1", power.stop, name="www", dry_run=True)

    assert begin.plan[1:] == [
        f"n1: take {ADDRESS} on br0, and announce it",
        "n1: start nginx.service",
        f"n1: start {A}",
        f"n1: start {B}",
    ]
    assert end.plan[1:] == [
        f"n1: stop {B}",
        f"n1: stop {A}",
        "n1: stop nginx.service",
        f"n1: take {ADDRESS} away from br0",
    ]
    assert served.picture() == before and served.segment.happened == []


def test_an_address_that_another_host_has_is_not_taken(served: FakeCluster) -> None:
    served.segment.foreign.add(IP)

    with pytest.raises(Refused, match=f"Another host, 52:54:00:00:00:01, has {ADDRESS}"):
        served.run("n1", power.start, name="www")

    assert served.segment.happened == []
    assert not running.runs(served.hosts["n1"], "www")


def test_an_address_that_the_host_has_itself_is_left_alone(served: FakeCluster) -> None:
    served.services["n1"].address.own[IP] = "br0"

    with pytest.raises(Refused, match="mcv has not put it there"):
        served.run("n1", power.start, name="www")

    assert served.services["n1"].address.own == {IP: "br0"}


def test_a_part_that_does_not_start_takes_all_back(served: FakeCluster) -> None:
    served.services["n1"].units.broken.add(B)

    with pytest.raises(CommandFailed, match="no luck"):
        served.run("n1", power.start, name="www")

    assert served.segment.happened == [*STARTED[:-1], *STOPPED[1:]]
    assert not running.runs(served.hosts["n1"], "www")


def test_what_had_begun_and_does_not_end_is_told_and_kept_in_the_note(served: FakeCluster) -> None:
    served.services["n1"].units.broken.add(B)
    served.services["n1"].units.endless.add(A)

    with pytest.raises(DoneInPart) as told:
        served.run("n1", power.start, name="www")

    assert "no luck" in told.value.message and "sleep (7) does not end" in told.value.message
    assert running.runs(served.hosts["n1"], "www")
    assert served.services["n1"].address.own == {}


def test_a_part_that_does_not_stop_holds_up_no_other_and_the_note_stays(
    served: FakeCluster,
) -> None:
    start(served)
    served.services["n1"].units.endless.add(B)

    with pytest.raises(CommandFailed, match=r"www is not stopped on n1: .*does not end"):
        served.run("n1", power.stop, name="www")

    assert served.segment.happened == STOPPED[1:]
    assert running.runs(served.hosts["n1"], "www")
    assert served.read().services["www"].entry.wanted == "stopped"


def test_an_address_that_stays_is_no_stop(served: FakeCluster) -> None:
    start(served)
    served.services["n1"].address.stuck.add(IP)

    with pytest.raises(CommandFailed, match="is still on br0"):
        served.run("n1", power.stop, name="www")


def test_a_note_that_cannot_be_read_is_one_all_the_same(served: FakeCluster) -> None:
    start(served)
    run = served.hosts["n1"].settings.run
    (run / "services" / "www.json").write_text("{")

    assert power.look(served.hosts["n1"], "www").state == "started"
    served.run("n1", power.stop, name="www")

    assert served.segment.happened == STOPPED
    assert power.look(served.hosts["n1"], "www").state == "stopped"


REFUSALS: list[tuple[str, str]] = [
    ("enabled", "nginx.service is enabled on n1"),
    ("missing", "n1 has no unit nginx.service"),
    ("changed", "is not what it was when it was looked at"),
    ("unsafe", "not root's"),
    ("linkless", "br0 has no link on n1"),
    ("down", "br0 is down on n1"),
    ("bridge", "n1 has no bridge br0"),
]


@pytest.mark.parametrize(("what", "said"), REFUSALS)
def test_what_it_is_made_of_is_looked_at_before_each_start(
    served: FakeCluster, what: str, said: str
) -> None:
    doors = served.services["n1"]
    if what in ("enabled", "missing"):
        getattr(doors.units, what).add("nginx.service")
    elif what in ("linkless", "down"):
        getattr(doors.address, what).add("br0")
    elif what == "changed":
        doors.programs.digests[A] = "3" * 64
    elif what == "unsafe":
        doors.programs.unsafe[A] = f"{A} is not root's"
    else:
        served.bridges["n1"].names = ()
    before = served.read()

    with pytest.raises(Refused, match=said):
        served.run("n1", power.start, name="www")

    assert served.read() == before and served.segment.happened == []


def test_a_service_that_runs_is_not_started_and_one_that_does_not_is_not_stopped(
    served: FakeCluster,
) -> None:
    with pytest.raises(Refused, match="does not run on n1"):
        served.run("n1", power.stop, name="www")
    start(served)
    with pytest.raises(Refused, match="runs on n1 already"):
        served.run("n1", power.start, name="www")


def test_a_service_of_which_a_part_has_ended_is_stopped_whole_and_started(
    served: FakeCluster,
) -> None:
    start(served)
    served.services["n1"].units.active.discard("nginx.service")

    served.run("n1", power.start, name="www")

    assert served.segment.happened == [*STOPPED[:2], STOPPED[3], *STARTED]


def test_what_could_not_be_started_and_is_wanted_can_be_stopped(served: FakeCluster) -> None:
    served.services["n1"].units.broken.add(B)
    with pytest.raises(CommandFailed):
        served.run("n1", power.start, name="www")
    assert served.read().services["www"].entry.wanted == "started"

    served.run("n1", power.stop, name="www")

    assert served.read().services["www"].entry.wanted == "stopped"


def test_a_service_moves_and_its_address_has_one_holder_at_each_instant(
    served: FakeCluster,
) -> None:
    start(served)

    moved = served.run("n1", power.migrate, name="www", to="n2")

    there = [line.replace("n1:", "n2:") for line in STARTED]
    assert served.segment.happened == [*STOPPED, *there]
    assert served.segment.twice == []
    www = served.read().services["www"]
    assert (www.node, www.home, www.claim, moved.node) == ("n2", "n2", None, "n2")
    assert www.entry.wanted == "started"


def test_a_stopped_service_moves_without_a_start(served: FakeCluster) -> None:
    moved = served.run("n1", power.migrate, name="www", to="n2")

    assert (moved.state, served.read().services["www"].node) == ("stopped", "n2")
    assert served.segment.happened == []


def test_a_service_that_does_not_stop_stays_where_it_is(served: FakeCluster) -> None:
    start(served)
    served.services["n1"].units.endless.add(B)

    with pytest.raises(McvError, match="does not end"):
        served.run("n1", power.migrate, name="www", to="n2")

    assert served.read().services["www"].node == "n1"
    assert served.segment.twice == []


def test_a_service_that_does_not_start_there_belongs_there_and_says_so(
    served: FakeCluster,
) -> None:
    start(served)
    served.services["n2"].units.broken.add(B)

    with pytest.raises(DoneInPart, match="no luck"):
        served.run("n1", power.migrate, name="www", to="n2")

    assert served.read().services["www"].node == "n2"
    assert served.services["n2"].address.own == {}


MOVES: list[tuple[str, str]] = [
    ("n1", "on n1 already"),
    ("n2", f"{A} on n2 is not what it was"),
    ("n3", "n3 has no bridge br0"),
    ("n9", "There is no node n9"),
]


@pytest.mark.parametrize(("to", "said"), MOVES)
def test_a_move_is_refused_before_anything_stops(served: FakeCluster, to: str, said: str) -> None:
    start(served)
    served.bridges["n3"].names = ()
    served.services["n2"].programs.digests[A] = "4" * 64

    with pytest.raises(Refused, match=said):
        served.run("n1", power.migrate, name="www", to=to)

    assert served.segment.happened == []


def test_a_drained_node_gets_no_service_and_starts_none(served: FakeCluster) -> None:
    host = served.hosts["n1"]
    host.update("node.drain", "drain", name="n2")
    with pytest.raises(Refused, match="n2 is drained"):
        served.run("n1", power.migrate, name="www", to="n2")
    host.update("node.drain", "drain", name="n1")
    with pytest.raises(Refused, match="n1 is drained: it starts no services"):
        served.run("n1", power.start, name="www")


def test_another_operation_s_claim_is_waited_for(served: FakeCluster) -> None:
    served.hosts["n1"].update("service.claim", "x", name="www", why="move")

    for verb in (power.start, power.stop):
        with pytest.raises(Busy):
            served.run("n1", verb, name="www")


def test_after_a_stop_its_sleeptime_passes(
    served: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    start(served)
    host = served.hosts["n1"]
    www = replace(host.read().services["www"], sleeptime=7)
    monkeypatch.setattr("time.sleep", slept.append)

    running.end(host, www)
    running.end(host, www)

    assert slept == [7]


def test_addresses_that_went_with_another_one_are_put_back(served: FakeCluster) -> None:
    start(served)
    other = service_notes.ServiceNote(name="ftp", address="192.0.2.81/24", bridge="br0")
    service_notes.write(served.hosts["n1"].settings.run, other)

    served.run("n1", power.stop, name="www")

    assert served.segment.happened[-2:] == ["n1: +192.0.2.81/24", "n1: announce 192.0.2.81/24"]


def test_without_a_lease_nothing_of_it_begins(served: FakeCluster) -> None:
    arm(served)
    host = served.hosts["n1"]
    served.run("n1", power.start, name="www")
    served.run("n1", power.stop, name="www")
    served.segment.happened.clear()
    lease.remove(host.settings.run)

    with pytest.raises(Refused, match=f"n1 may not take {ADDRESS}"):
        served.run("n1", power.start, name="www")

    assert served.segment.happened == []
    assert not running.runs(host, "www")


# What is wanted


def stopped_alone(served: FakeCluster) -> list[str]:
    """Stop it on n1 without a majority; what is said. Then the others are back."""
    start(served)
    served.down |= {"n2", "n3"}
    state = served.run("n1", power.stop, name="www")
    served.down.clear()
    for name in served.hosts:
        served.look(name)
    assert (state.state, state.wanted) == ("stopped", "stopped")
    notes: list[str] = state.notes
    return notes


def test_a_stop_without_a_majority_is_noted_and_told_later(served: FakeCluster) -> None:
    notes = stopped_alone(served)
    host = served.hosts["n1"]

    assert "cannot be told now" in notes[0]
    assert wanted.noted(host, "www") == "stopped"
    assert host.read().services["www"].entry.wanted == "started"
    wanted.write_noted(host)
    assert host.read().services["www"].entry.wanted == "stopped"
    assert wanted.noted(host, "www") is None


def test_a_newer_word_of_an_operator_s_voids_the_note(served: FakeCluster) -> None:
    stopped_alone(served)
    served.hosts["n2"].update("ha.change", "x", name="www", wanted="started")

    wanted.write_noted(served.hosts["n1"])

    assert served.read().services["www"].entry.wanted == "started"
    assert wanted.noted(served.hosts["n1"], "www") is None


def test_what_is_to_be_ignored_stays_so(served: FakeCluster) -> None:
    served.hosts["n1"].update("ha.change", "x", name="www", wanted="ignored")

    served.run("n1", power.start, name="www")

    assert served.read().services["www"].entry.wanted == "ignored"


def test_a_start_ends_a_failure(served: FakeCluster) -> None:
    host = served.hosts["n1"]
    host.update("ha.change", "x", name="www", wanted="started")
    host.update("ha.failed", "x", name="www", why="it failed everywhere")

    served.run("n1", power.start, name="www")

    assert host.read().services["www"].entry.failed == ""


def test_a_step_needs_the_claim_of_its_service(served: FakeCluster) -> None:
    with pytest.raises(McvError, match="came without a claim"):
        served.hosts["n1"].call("n1", "service.begin", name="www")
    assert Subject.parse("service:www").lock == "service-www"
