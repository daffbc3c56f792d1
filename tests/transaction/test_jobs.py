"""Jobs: followed while they last, remembered when they have ended, cancelled while that is safe."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from mcv.errors import (
    Busy,
    CallLost,
    Cancelled,
    CommandFailed,
    DoneInPart,
    McvError,
    NotFound,
    Refused,
)
from mcv.recovery import jobs as recovered_jobs
from mcv.system.answers import plain
from mcv.transaction import jobs as jobs_module
from mcv.transaction.jobs import REMEMBERED, REMEMBERED_OF_HA, Job, Jobs
from tests.fakes.cluster import FakeCluster


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs("n1", tmp_path)


def finished(jobs: Jobs, work: Any) -> Job:
    job = jobs.start("start web1", "alice", work)
    ended(job)
    return job


def ended(job: Job) -> None:
    """Wait for the end: the follower is woken first, the record written then."""
    while job.follow(10**9, 0.05)["state"] == "running":
        pass
    for thread in threading.enumerate():
        if thread.name == f"job-{job.id}":
            thread.join()


def test_a_job_ends_with_its_result_or_its_error(jobs: Jobs, tmp_path: Path) -> None:
    good = finished(jobs, lambda: {"name": "web1"})

    def refuse() -> None:
        raise Refused("web1 is locked.", "mcv unlock web1", [("a", "b")])

    bad = finished(jobs, refuse)

    assert (good.state, good.result, good.error) == ("done", {"name": "web1"}, None)
    assert bad.state == "failed" and bad.error == {
        "class": "Refused",
        "message": "web1 is locked.",
        "hint": "mcv unlock web1",
        "problems": [["a", "b"]],
    }
    kept = Jobs("n1", tmp_path).remembered(good.id)
    assert kept is not None and (kept["state"], kept["who"]) == ("done", "alice")


def test_an_internal_error_is_told_without_its_insides_and_a_lost_call_as_open(
    jobs: Jobs,
) -> None:
    def crash() -> None:
        raise ZeroDivisionError("a secret")

    def lose() -> None:
        raise CallLost("n2 broke off.")

    broken, lost = finished(jobs, crash).error, finished(jobs, lose).error

    assert broken is not None and "secret" not in json.dumps(broken)
    assert "internal error" in broken["message"] and "journalctl" in broken["hint"]
    assert broken["class"] == "OutcomeOpen"
    assert lost is not None and lost["class"] == "OutcomeOpen"


@pytest.mark.parametrize(
    ("error", "brief", "listed"),
    [
        (Refused("web1 runs already."), False, False),
        (Cancelled("It was cancelled."), False, True),
        (CommandFailed("drbdadm said no."), True, False),
        (CommandFailed("drbdadm said no."), False, True),
        (DoneInPart("web1 is stopped, but."), True, True),
        (CallLost("n2 broke off."), True, True),
    ],
)
def test_what_left_nothing_is_told_to_its_follower_and_listed_nowhere(
    jobs: Jobs, error: McvError, brief: bool, listed: bool
) -> None:
    def fail() -> None:
        raise error

    job = jobs.start("start web1", "alice", fail, brief)
    ended(job)

    assert jobs.get(job.id).follow(0, 0)["error"]["message"] == error.message
    assert bool(jobs.listed()) == listed
    assert (jobs.remembered(job.id) is not None) == listed


def test_a_full_disk_is_told_as_what_it_is(jobs: Jobs) -> None:
    def fill() -> None:
        raise OSError(28, "No space left on device", "/var/lib/mcv/node1/proposal.json")

    message = (finished(jobs, fill).error or {})["message"]

    assert "No space left on device" in message and "proposal.json" in message


def test_the_follower_is_told_what_is_new_and_only_that(jobs: Jobs) -> None:
    job = jobs.begin("verify web1", "alice")
    job.progress("verify web1", 1, 10, "B")
    job.progress("verify web1", 5, 10, "B")
    job.progress("waiting")

    first = job.follow(0, 0)
    again = job.follow(first["seen"], 0.01)
    job.progress("waiting", 1, 2)
    third = job.follow(first["seen"], 5)

    assert [bar["done"] for bar in first["progress"]] == [5, 0]
    assert again["progress"] == [] and again["state"] == "running"
    assert [bar["what"] for bar in third["progress"]] == ["waiting"]


def test_a_job_that_says_ever_new_things_remembers_the_latest(jobs: Jobs) -> None:
    job = jobs.begin("drain node n1", "alice")

    for number in range(200):
        job.progress(f"waiting for {number}")
        job.progress("resync web1", number, 200, "B")

    told = [bar["what"] for bar in job.plain()["progress"]]
    assert len(told) == 50 and told[-1] == "waiting for 199" and "resync web1" in told


def test_the_follower_is_woken_by_the_end(jobs: Jobs) -> None:
    job = jobs.begin("start web1", "alice")
    threading.Timer(0.05, job.end, ("yes", None)).start()

    said = job.follow(10**9, 5)

    assert (said["state"], said["result"]) == ("done", "yes")


def test_a_change_of_a_job_never_has_the_id_of_another(jobs: Jobs) -> None:
    one, two = jobs.begin("a", "x"), jobs.begin("b", "x")

    ids = [job.next_change() for job in (one, two) for _ in range(3)]

    assert len(set(ids)) == 6 and all(id.partition(".")[0] in (one.id, two.id) for id in ids)


def test_a_job_is_cancelled_only_while_nothing_has_been_changed(cluster: FakeCluster) -> None:
    host = cluster.hosts["n1"]
    job = host.jobs.begin("migrate web1", "alice")
    with pytest.raises(Refused, match="is at work and cannot be cancelled safely"):
        recovered_jobs.stop_job(host, job.id)

    with job.may_be_cancelled():
        assert plain(recovered_jobs.cancel_job(host, job.id)) == {"job": job.id, "cancelled": True}

    with pytest.raises(Cancelled):
        job.check_cancelled()
    job.end(None, None)
    with pytest.raises(Refused, match="has ended already"):
        recovered_jobs.stop_job(host, job.id)
    with pytest.raises(NotFound):
        recovered_jobs.cancel_job(host, "nobody")


def test_a_job_is_taken_up_again_by_one_at_a_time(jobs: Jobs) -> None:
    job = jobs.begin("create web1", "alice")

    with pytest.raises(Busy, match="at work already"):
        jobs.begin("create web1", "alice", job.id)
    job.end(None, None)

    assert jobs.begin("create web1", "alice", job.id).id == job.id


def test_a_job_that_a_stop_cut_off_says_what_became_of_it(jobs: Jobs, tmp_path: Path) -> None:
    left, over = jobs.begin("create web1", "alice"), jobs.begin("start web2", "alice")
    again = Jobs("n1", tmp_path)

    again.close_interrupted({left.id})

    said = {one["id"]: one["error"]["message"] for one in again.listed()}
    assert "the rest is in the journal" in said[left.id]
    assert "nothing is left in the journal" in said[over.id]
    assert not again.running(left.id) and again.under_way() == 0


def test_only_the_last_jobs_are_remembered(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda fd: None)
    for _ in range(2 * REMEMBERED + 5):
        job = jobs.begin("start web1", "alice")
        jobs.run(job, lambda: None)

    assert len(list(tmp_path.glob("*.json"))) == 2 * REMEMBERED
    with pytest.raises(NotFound, match="There is no job"):
        jobs.get("nobody")
    assert len(jobs._jobs) == REMEMBERED


def test_what_high_availability_does_pushes_no_operators_job_out(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda fd: None)
    mine = jobs.begin("start web1", "alice")
    jobs.run(mine, lambda: None)
    for _ in range(2 * REMEMBERED + 5):
        job = jobs.begin("migrate web2 to n3 for high availability", "mcv-ha")
        jobs.run(job, lambda: None)

    assert jobs.known(mine.id) is mine and jobs.remembered(mine.id) is not None
    assert len(jobs._jobs) == 1 + REMEMBERED_OF_HA
    assert len(list(tmp_path.glob("*.json"))) == 1 + 2 * REMEMBERED_OF_HA
    assert jobs.known(job.id) is job


def test_the_list_shows_every_node_that_answers(cluster: FakeCluster) -> None:
    cluster.hosts["n1"].jobs.begin("start web1", "alice")
    other = cluster.hosts["n2"].jobs.begin("start web2", "bob")

    assert {one["node"] for one in recovered_jobs.list_jobs(cluster.hosts["n1"])} == {"n1", "n2"}
    assert recovered_jobs.show_job(cluster.hosts["n1"], other.id)["who"] == "bob"
    cluster.down.add("n2")

    assert {one["node"] for one in recovered_jobs.list_jobs(cluster.hosts["n1"])} == {"n1"}


def test_the_job_under_way_is_that_of_its_thread(jobs: Jobs) -> None:
    seen: list[Job | None] = []

    job = finished(jobs, lambda: seen.append(jobs_module.current.get()))

    assert seen == [job] and jobs_module.current.get() is None


def test_jobs_of_one_second_are_listed_as_they_began(tmp_path: Path) -> None:
    before = Jobs("n1", tmp_path)
    begun = [before.begin(f"job {number}", "alice").id for number in range(20)]

    listed = Jobs("n1", tmp_path).listed()

    assert [one["id"] for one in listed] == begun


def test_a_record_has_a_schema_and_a_later_version_s_is_left_alone(
    jobs: Jobs, tmp_path: Path
) -> None:
    job = finished(jobs, lambda: "yes")
    path = tmp_path / f"{job.id}.json"
    record = json.loads(path.read_text())
    later = {**record, "id": "later", "schema": 2, "state": "running"}
    text = json.dumps(later)
    (tmp_path / "later.json").write_text(text)
    again = Jobs("n1", tmp_path)

    again.close_interrupted(set())

    assert record["schema"] == 1 and "schema" not in (again.remembered(job.id) or {})
    assert [one["id"] for one in again.listed()] == [job.id]
    assert "schema" not in again.listed()[0]
    assert (tmp_path / "later.json").read_text() == text
    with pytest.raises(McvError, match=r"Job later \(start web1\) was recorded in schema 2"):
        again.remembered("later")
    again.run(again.begin("start web2", "alice"), lambda: None)
    (interrupted,) = [p for p in tmp_path.glob("*.json") if p.stem not in (job.id, "later")]
    assert json.loads(interrupted.read_text())["schema"] == 1


def test_a_job_is_shown_while_it_begins_another_bar(jobs: Jobs) -> None:
    """The list is read in another thread than the job's."""
    job = jobs.begin("create web1", "alice")
    threads: list[threading.Thread] = []

    class Slow(dict[str, Any]):
        def values(self) -> Any:
            for value in super().values():
                yield value
                threads.append(threading.Thread(target=job.progress, args=("another", 0, 1)))
                threads[-1].start()
                threads[-1].join(0.05)

    job.progress("image", 1, 2)
    job._bars._bars = Slow(job._bars._bars)

    assert [bar["what"] for bar in job.plain()["progress"]] == ["image"]

    threads[0].join()
    assert {bar["what"] for bar in job.plain()["progress"]} >= {"image", "another"}
