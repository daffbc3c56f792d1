"""Plans carried out: forward or back, noted before each step, what is left said in words."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcv.api import dispatch
from mcv.document.model import Cluster
from mcv.document.subject import Subject
from mcv.errors import (
    CallLost,
    DoneInPart,
    Failed,
    McvError,
    OutcomeOpen,
    OutOfStep,
    PeerUnreachable,
    Refused,
    RepairNeeded,
)
from mcv.transaction.executor import Transaction, escort
from mcv.transaction.journal import Entry, EntryClaim, Journal
from mcv.transaction.plan import Item, Step, change, on, readable, together
from mcv.vm import create
from tests.documents import document
from tests.fakes.cluster import FakeCluster


class Bench:
    """A transaction whose calls and changes are written down; some of them fail."""

    def __init__(self, directory: Path) -> None:
        self.journal = Journal(directory)
        self.done: list[str] = []
        self.said: list[str] = []
        self.fails: dict[str, Exception] = {}
        self.escorts: list[dict[str, Any]] = []
        self.before: Callable[[str], None] = lambda what: None

    def call(self, node: str, operation: str, /, **params: Any) -> None:
        if operation.startswith("journal.") and operation not in self.fails:
            return
        self.escorts.append(dict(escort.get() or {}))
        self._do(operation)

    def make(self, wanted: Any, *, id: str, who: str, why: str) -> Cluster:
        self._do(f"{wanted.name} {id}")
        return document()

    def _do(self, what: str) -> None:
        self.before(what)
        self.done.append(what)
        error = self.fails.get(what.partition(" ")[0])
        if error is not None:
            raise error

    def entry(self, plan: list[Item]) -> Entry:
        return Entry(
            operation="job1",
            title="move web1",
            who="alice",
            node="n1",
            claims=[EntryClaim("vm:web1")],
            plan=plan,
        )

    def carry_out(self, plan: list[Item]) -> None:
        self.transaction().carry_out(self.entry(plan), self.said.append)

    def transaction(self) -> Transaction:
        return Transaction("n1", self.journal, self.call, self.make)

    def resume(self) -> None:
        entry = self.journal.read("job1")
        assert entry is not None
        self.transaction().resume(entry, self.said.append)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def step(name: str, undo: bool = True, **values: Any) -> Step:
    return Step(on("n2", name), undo=on("n2", f"un{name}") if undo else None, **values)


def here(name: str) -> Step:
    return Step(on("n1", name))


PLAN: list[Item] = [step("a"), step("b"), step("c", commits=True), step("d", undo=False)]


def test_a_plan_is_carried_out_in_order_and_its_claim_released_last(bench: Bench) -> None:
    bench.carry_out(PLAN)

    assert bench.done == ["a", "b", "c", "d", "vm.release job1.release"]
    assert bench.said == ["n2: a", "n2: b", "n2: c", "n2: d"]
    assert bench.journal.entries() == []


def test_each_step_is_written_down_before_it_is_begun(bench: Bench) -> None:
    seen = []

    def look(what: str) -> None:
        entry = bench.journal.read("job1")
        assert entry is not None
        seen.append((what, entry.position, entry.serial))

    bench.before = look

    bench.carry_out(PLAN)

    assert seen[:4] == [("a", 0, 1), ("b", 1, 2), ("c", 2, 3), ("d", 3, 4)]


@pytest.mark.parametrize(
    ("failing", "done"),
    [
        ("a", ["a", "una"]),
        ("b", ["a", "b", "unb", "una"]),
        ("c", ["a", "b", "c", "unc", "unb", "una"]),
    ],
)
def test_a_failure_up_to_the_commit_point_is_undone_the_failed_step_included(
    bench: Bench, failing: str, done: list[str]
) -> None:
    bench.fails[failing] = McvError("no luck", "try harder", [("one", "two")])

    with pytest.raises(Failed, match="move web1 failed and was undone: no luck") as error:
        bench.carry_out(PLAN)

    assert bench.done == [*done, "vm.release job1.urelease"]
    assert (error.value.hint, error.value.problems) == ("try harder", [("one", "two")])
    assert bench.journal.entries() == []


def test_a_failure_after_the_commit_point_stays_and_goes_on_forward(bench: Bench) -> None:
    bench.fails["d"] = McvError("no luck")

    with pytest.raises(RepairNeeded, match=r"stopped half-way: no luck \(job job1\)") as error:
        bench.carry_out(PLAN)
    assert "mcv job wait job1" in error.value.hint and "mcv repair" in error.value.hint
    bench.fails.clear()
    bench.done.clear()
    bench.resume()

    assert bench.done == ["d", "vm.release job1.release"]
    assert bench.journal.entries() == []


def test_a_committing_call_without_an_answer_goes_neither_way(bench: Bench) -> None:
    bench.fails["c"] = CallLost("n2 broke off.")

    with pytest.raises(RepairNeeded, match="half-way"):
        bench.carry_out(PLAN)

    assert bench.done == ["a", "b", "c"]
    assert (entry := bench.journal.read("job1")) is not None and entry.direction == "forward"


def test_an_open_change_goes_neither_way_and_names_the_job(bench: Bench) -> None:
    bench.fails["vm.assign"] = OutcomeOpen("not known yet: n2 did not answer.", "wait")
    plan: list[Item] = [step("a"), Step(change("vm.assign"), commits=True), step("d")]

    with pytest.raises(OutcomeOpen, match=r"not committed yet \(job job1\)") as error:
        bench.carry_out(plan)
    assert error.value.hint == "wait" and bench.done == ["a", "vm.assign job1.1"]
    bench.fails.clear()
    bench.resume()

    assert bench.done[2:] == ["vm.assign job1.1", "d", "vm.release job1.release"]


@pytest.mark.parametrize("silence", [PeerUnreachable("n1 is silent."), CallLost("n1 broke off.")])
def test_an_open_change_before_the_commit_point_is_not_undone_while_its_node_is_silent(
    bench: Bench, silence: McvError
) -> None:
    bench.fails["vm.add"] = OutcomeOpen("not known yet: n1 did not answer.", "wait")
    undo = change("vm.remove")
    plan: list[Item] = [Step(change("vm.add"), undo=undo), step("b", commits=True)]
    with pytest.raises(OutcomeOpen):
        bench.carry_out(plan)
    bench.done.clear()

    bench.fails["vm.add"] = silence
    with pytest.raises(RepairNeeded, match="stopped half-way: n1"):
        bench.resume()
    assert bench.done == ["vm.add job1.0"]

    bench.fails["vm.add"] = Refused("web1 is there.")
    with pytest.raises(Failed, match="was undone: web1 is there"):
        bench.resume()
    assert bench.done[-2:] == ["vm.remove job1.u0", "vm.release job1.urelease"]


def test_what_resists_being_undone_stays_and_is_taken_up_from_there(bench: Bench) -> None:
    bench.fails.update(c=McvError("no luck"), unb=PeerUnreachable("n2 is silent."))

    with pytest.raises(RepairNeeded, match=r"failed \(no luck\) and is not undone yet: n2 is sil"):
        bench.carry_out(PLAN)
    bench.fails.clear()
    bench.done.clear()
    with pytest.raises(Failed, match="no luck"):
        bench.resume()

    assert bench.done == ["unb", "una", "vm.release job1.urelease"]


def test_a_step_that_may_fail_is_told_and_the_rest_is_done(bench: Bench) -> None:
    bench.fails["d"] = McvError("it does not start", "mcv start web1")
    plan: list[Item] = [step("c", commits=True), step("d", may_fail=True), step("e")]

    with pytest.raises(DoneInPart, match="move web1 is done, but: it does not start") as error:
        bench.carry_out(plan)

    assert error.value.exit_code == 4 and error.value.hint == "mcv start web1"
    assert bench.done == ["c", "d", "e", "vm.release job1.release"]
    assert bench.journal.entries() == []


def test_a_plan_that_a_peer_cannot_keep_is_not_begun(bench: Bench) -> None:
    bench.fails["journal.keep"] = PeerUnreachable("n2 is silent.")

    with pytest.raises(Refused, match="move web1: n2 is silent"):
        bench.carry_out(PLAN)

    assert bench.done == ["journal.keep", "vm.release job1.urelease"]
    assert bench.journal.entries() == []


def adding(name: str, undo: str) -> Step:
    return Step(change(name), undo=change(undo))


def test_a_first_change_that_is_refused_is_a_refusal_and_nothing_is_undone(bench: Bench) -> None:
    refusal = PeerUnreachable("n2 is silent, so nothing was changed.", "wait", [("one", "two")])
    bench.fails["vm.add"] = refusal

    with pytest.raises(PeerUnreachable) as error:
        bench.carry_out([adding("vm.add", "vm.remove"), *PLAN])

    assert error.value is refusal
    assert bench.done == ["vm.add job1.0", "vm.release job1.urelease"]
    assert bench.journal.entries() == []


def test_a_later_change_that_is_refused_is_not_undone_and_what_was_before_it_is(
    bench: Bench,
) -> None:
    bench.fails["vm.define"] = Refused("web1 is locked.")

    with pytest.raises(Failed, match="move web1 failed and was undone: web1 is locked"):
        bench.carry_out([step("a"), adding("vm.define", "vm.undefine"), step("b")])

    assert bench.done == ["a", "vm.define job1.1", "una", "vm.release job1.urelease"]


def test_a_change_that_may_have_been_proposed_before_a_restart_is_undone(bench: Bench) -> None:
    entry = bench.entry([adding("vm.add", "vm.remove"), *PLAN])
    entry.position = 0
    bench.journal.write(entry)
    bench.fails["vm.add"] = Refused("There is a VM web1 already.")

    with pytest.raises(Failed, match="already"):
        bench.resume()

    assert bench.done == ["vm.add job1.0", "vm.remove job1.u0", "vm.release job1.urelease"]


def test_a_claim_that_cannot_be_released_now_is_said_to_be_the_rest(bench: Bench) -> None:
    bench.fails["vm.release"] = PeerUnreachable("n2 is silent.")

    with pytest.raises(RepairNeeded, match="is done, but its claim is not released yet"):
        bench.carry_out(PLAN)
    bench.fails["journal.keep"] = bench.fails["vm.release"]
    bench.journal.remove("job1")
    with pytest.raises(RepairNeeded, match="is undone, but its claim is not released yet"):
        bench.carry_out(PLAN)

    bench.fails.clear()
    bench.done.clear()
    with pytest.raises(Failed, match="n2 is silent"):
        bench.resume()
    assert bench.done == ["vm.release job1.urelease"]


def test_who_stood_still_in_the_middle_of_a_plan_looks_before_it_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction = Transaction(
        "n1",
        bench.journal,
        bench.call,
        bench.make,
        poll=lambda: bench.done.append("look"),
        polled=time.monotonic(),
    )
    now = time.monotonic()
    asleep = {"b": 10.0}

    def sleep(what: str) -> None:
        monkeypatch.setattr("time.monotonic", lambda: now + asleep.get(what, 0.0))

    bench.before = sleep
    transaction.carry_out(bench.entry([here("a"), here("b"), here("c")]), bench.said.append)

    assert bench.done[:4] == ["a", "b", "look", "c"]


def test_steps_together_are_all_done_and_all_undone(bench: Bench) -> None:
    bench.fails["b2"] = McvError("no luck")
    plan: list[Item] = [step("a"), together([step("b1"), step("b2")]), step("c", commits=True)]

    with pytest.raises(Failed):
        bench.carry_out(plan)

    assert bench.done[0] == "a" and set(bench.done[1:3]) == {"b1", "b2"}
    assert set(bench.done[3:5]) == {"unb1", "unb2"} and bench.done[5] == "una"


def test_an_internal_error_of_a_step_is_a_failure_like_another(bench: Bench) -> None:
    bench.fails["b"] = ZeroDivisionError("division by zero")

    with pytest.raises(Failed, match="internal error"):
        bench.carry_out(PLAN)

    assert "una" in bench.done and bench.journal.entries() == []


def test_every_call_says_whose_claim_it_is_and_its_number_grows(bench: Bench) -> None:
    bench.fails["c"] = McvError("no luck")

    with pytest.raises(Failed):
        bench.carry_out(PLAN)

    assert {one["operation"] for one in bench.escorts} == {"job1"}
    serials = [one["serial"] for one in bench.escorts]
    assert serials == sorted(serials) and len(set(serials)) == 6
    assert escort.get() is None


def test_a_plan_reads_as_its_steps() -> None:
    plan: list[Item] = [step("a"), together([step("b"), Step(change("vm.assign", node="n2"))])]

    assert readable(plan) == ["n2: a", "n2: b", "document: vm.assign node=n2"]


def served(cluster: FakeCluster, **values: Any) -> Any:
    claim = cluster.read("n2").claim_of(Subject.vm("web1"))
    number = [claim.epoch, claim.generation] if claim else [0, 0]
    good = {"subject": "vm:web1", "operation": "job1", "number": number, "serial": 5}
    one = {**good, **values}
    claims = [{"subject": one.pop("subject"), "number": one.pop("number")}]
    context = {"escort": {**one, "claims": claims}}
    return dispatch.perform(cluster.hosts["n2"], "drbd.release", {"name": "web1"}, context, "n1")


def test_a_node_serves_the_claim_of_its_document_and_no_earlier_call_of_it(
    cluster: FakeCluster,
) -> None:
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])
    cluster.hosts["n1"].consensus.propose(
        "vm.claim", {"name": "web1", "why": "x"}, id="job1.1", who="a", why="x"
    )

    served(cluster)
    served(cluster)
    served(cluster, serial=7)

    with pytest.raises(OutOfStep, match="later step of job1"):
        served(cluster, serial=6)
    for wrong in ({"number": [1, 1]}, {"operation": "job2"}, {"subject": "vm:web2"}):
        with pytest.raises(OutOfStep, match="knows of no claim"):
            served(cluster, **wrong)
    with pytest.raises(OutOfStep, match="without a claim"):
        dispatch.perform(cluster.hosts["n2"], "drbd.release", {"name": "web1"}, {}, "n1")


def test_a_late_call_does_nothing_after_its_claim_has_gone(cluster: FakeCluster) -> None:
    cluster.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"])
    consensus = cluster.hosts["n1"].consensus
    consensus.propose("vm.claim", {"name": "web1", "why": "x"}, id="job1.1", who="a", why="x")
    claim = cluster.read().claim_of(Subject.vm("web1"))
    assert claim is not None
    number = [claim.epoch, claim.generation]
    consensus.propose("vm.release", {"name": "web1"}, id="job1.2", who="a", why="x")
    with pytest.raises(OutOfStep):
        served(cluster, number=number)

    consensus.propose("vm.claim", {"name": "web1", "why": "x"}, id="job1.3", who="a", why="x")

    with pytest.raises(OutOfStep):
        served(cluster, number=number, serial=99)
    served(cluster)
