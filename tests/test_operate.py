"""An operation: looked at, claimed, looked at again, carried out; on one subject or on two."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from mcv.cluster import members
from mcv.document.subject import Subject
from mcv.errors import Failed, McvError, Refused, RepairNeeded
from mcv.host import DryRun, Host, Prepared
from mcv.recovery import claims, journal_recovery
from mcv.transaction.plan import Item, Step, change, on
from mcv.vm import create
from tests.fakes.cluster import FakeCluster

WEB1, WEB2 = Subject.vm("web1"), Subject.vm("web2")
ANSWER = {"said": "done"}


@pytest.fixture
def pair(cluster: FakeCluster) -> FakeCluster:
    for name in ("web1", "web2"):
        cluster.run("n1", create.create, name=name, memory="64MiB", disks=["64MiB"])
    return cluster


def on_both() -> list[Item]:
    """Undefine both VMs on n1, which may be taken back, and write both down as larger."""
    return [
        *(
            Step(on("n1", "vm.undefine", name=name), undo=on("n1", "vm.define", name=name))
            for name in ("web1", "web2")
        ),
        Step(change("vm.update", name="web1", memory=None, cpus=3), commits=True),
        Step(change("vm.update", name="web2", memory=None, cpus=3)),
        *(Step(on("n1", "vm.define", name=name)) for name in ("web1", "web2")),
        Step(on("n2", "vm.undefine", name="web1")),
    ]


def operated(
    cluster: FakeCluster, prepare: Callable[[Host], Prepared[Any]], dry_run: bool = False
) -> Any:
    def enlarge(host: Host) -> Any:
        return host.operate([WEB2, WEB1], "enlarge both", lambda: prepare(host), dry_run)

    return cluster.run("n1", enlarge)


class Preview(DryRun, frozen=True, kw_only=True):
    more: int


def claimed(cluster: FakeCluster) -> list[bool]:
    return [cluster.read("n2").claim_of(subject) is not None for subject in (WEB1, WEB2)]


def test_both_subjects_are_claimed_in_their_order_and_released(pair: FakeCluster) -> None:
    looks: list[list[bool]] = []

    def prepare(host: Host) -> Prepared[Any]:
        looks.append(claimed(pair))
        return Prepared(on_both(), ANSWER)

    before = pair.read().generation
    assert operated(pair, prepare) == ANSWER

    assert looks == [[False, False], [True, True]] and claimed(pair) == [False, False]
    assert [pair.read("n2").vm(name).cpus for name in ("web1", "web2")] == [3, 3]
    history = [one for one in pair.hosts["n1"].consensus.generations() if one.generation > before]
    marks = "".join(
        "-12b"[(one.claim_of(WEB1) is not None) + 2 * (one.claim_of(WEB2) is not None)]
        for one in reversed(history)
    )
    assert marks == "1bbb2-"


def test_a_dry_run_answers_the_plan_and_changes_nothing(pair: FakeCluster) -> None:
    before = pair.picture()

    preview = partial(Preview, more=1)
    shown = operated(pair, lambda host: Prepared(on_both(), ANSWER, preview), dry_run=True)

    assert shown.dry_run and shown.plan[0] == "n1: vm.undefine name=web1"
    assert shown.more == 1 and not hasattr(shown, "said")
    assert pair.picture() == before


def test_what_only_the_second_look_finds_releases_the_claims(pair: FakeCluster) -> None:
    def prepare(host: Host) -> Prepared[Any]:
        if any(claimed(pair)):
            raise Refused("Too late.")
        return Prepared(on_both(), {})

    with pytest.raises(Refused, match="Too late"):
        operated(pair, prepare)

    assert claimed(pair) == [False, False]
    assert pair.hosts["n1"].journal.entries() == []


def test_a_second_claim_that_is_refused_releases_the_first(pair: FakeCluster) -> None:
    pair.hosts["n1"].update("vm.claim", "", name="web2", why="something else")

    with pytest.raises(Refused, match="web2 is busy: something else"):
        operated(pair, lambda host: Prepared(on_both(), {}))

    assert claimed(pair) == [False, True]


def test_what_is_around_the_plan_is_entered_after_the_last_look(pair: FakeCluster) -> None:
    entered: list[str] = []

    class Around:
        def __enter__(self) -> None:
            entered.append(f"in {claimed(pair)}")

        def __exit__(self, *_: object) -> None:
            entered.append(f"out {claimed(pair)}")

    operated(pair, lambda host: Prepared(on_both(), {}, around=Around()), dry_run=True)
    assert entered == []
    operated(pair, lambda host: Prepared(on_both(), {}, around=Around()))

    assert entered == ["in [True, True]", "out [False, False]"]


def test_a_step_of_a_plan_with_two_subjects_is_under_both_locks(
    pair: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks: list[list[str]] = []
    door = pair.domains["n1"]
    undefine = door.undefine

    def look(name: str) -> None:
        locks.append(sorted(pair.hosts["n1"].locks.notes()))
        undefine(name)

    monkeypatch.setattr(door, "undefine", look)
    operated(pair, lambda host: Prepared(on_both(), {}))

    assert locks == [["vm-web1", "vm-web2"]] * 2  # on n1


def test_a_plan_with_two_subjects_fails_as_a_whole(pair: FakeCluster) -> None:
    pair.spy = lambda caller, node, operation: _fail_on(operation, "vm.undefine")

    with pytest.raises(Failed):
        operated(pair, lambda host: Prepared(on_both(), {}))

    assert claimed(pair) == [False, False]
    assert set(pair.domains["n1"].defined) == {"web1", "web2"}


def _fail_on(operation: str, wanted: str) -> None:
    if operation == wanted:
        raise McvError("no luck")


def stopped_half_way(pair: FakeCluster) -> None:
    """Committed for web1; the rest waits for a libvirt that works."""
    pair.domains["n1"].broken.add("define")
    with pytest.raises(RepairNeeded, match="stopped half-way"):
        operated(pair, lambda host: Prepared(on_both(), ANSWER))
    assert claimed(pair) == [True, True]
    pair.domains["n1"].broken.clear()


def test_a_plan_with_two_subjects_is_resumed_after_a_restart(pair: FakeCluster) -> None:
    stopped_half_way(pair)
    host = pair.boot("n1")
    pair.look("n1")

    assert journal_recovery.resume_all(host) == ["enlarge both"]

    assert claimed(pair) == [False, False]
    assert set(pair.domains["n1"].defined) == {"web1", "web2"}


def test_a_plan_with_two_subjects_is_taken_over_with_both_claims(
    pair: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies, holders = pair.hosts["n2"].journal, list[tuple[str, ...]]()
    stopped_half_way(pair)

    def note(caller: str, node: str, operation: str) -> None:
        if operation == "vm.undefine":
            found = (pair.read("n2").claim_of(subject) for subject in (WEB1, WEB2))
            holders.append(tuple(claim.node for claim in found if claim))

    pair.spy = note
    monkeypatch.setattr(members, "is_alive", lambda host, name: False)
    pair.down.add("n1")
    pair.run("n2", members.offline, names=["n1"], confirm_dead=True)

    pair.run("n2", claims.repair)

    assert holders == [("n2", "n2")]
    assert claimed(pair) == [False, False] and copies.entries() == []
    assert [pair.read("n2").vm(name).cpus for name in ("web1", "web2")] == [3, 3]


def test_a_subject_is_text_and_back() -> None:
    for subject in (WEB1, Subject.node("n2")):
        assert Subject.parse(str(subject)) == subject
    assert (str(WEB1), WEB1.lock) == ("vm:web1", "vm-web1")
    for text in ("web1", "disk:web1", ""):
        with pytest.raises(McvError, match="names nothing that an operation claims"):
            Subject.parse(text)
