"""A change whose outcome is open: its job says so, and later what became of it."""

import pytest

from mcv.cluster import permissions
from mcv.document import changes
from mcv.recovery import jobs as recovered_jobs
from mcv.transaction.jobs import Job
from mcv.vm import change, create
from tests.consensus.test_agreement import lose, permit, quiet
from tests.fakes.cluster import FakeCluster


def add(cluster: FakeCluster, node: str, user: str) -> Job:
    """Add a superuser as an operator's call does."""
    host = cluster.hosts[node]
    job = host.jobs.begin(f"permission add {user}", "alice")
    host.jobs.run(job, lambda: permissions.add(host, user=user))
    return job


@pytest.fixture
def opened(cluster: FakeCluster) -> FakeCluster:
    """alice was added on n1, and n2 did not say whether it has written that down."""
    cluster.spy = lose("config.accept", "n2")
    job = add(cluster, "n1", "alice")
    cluster.spy = quiet
    assert job.error is not None and job.error["class"] == "OutcomeOpen"
    assert f"(job {job.id})" in job.error["message"]
    assert f"mcv job wait {job.id}" in job.error["hint"]
    return cluster


def told(cluster: FakeCluster) -> tuple[str, str]:
    """The state of n1's last job, as listed and as followed, and its error's class."""
    host = cluster.hosts["n1"]
    listed = recovered_jobs.own_jobs(host)[-1]
    followed = recovered_jobs.follow(host, listed["id"], "n1")
    assert followed["state"] == listed["state"] and followed["error"] == listed["error"]
    return listed["state"], (listed["error"] or {"class": ""})["class"]


def test_while_nobody_knows_it_stays_open(opened: FakeCluster) -> None:
    assert told(opened) == ("failed", "OutcomeOpen")


def test_once_it_is_settled_the_job_is_done(opened: FakeCluster) -> None:
    opened.look("n1")

    assert opened.read("n2").permissions.superusers == ("alice",)
    assert told(opened) == ("done", "")


def test_a_daemon_started_anew_knows_it_too(opened: FakeCluster) -> None:
    opened.boot("n1")
    for name in ("n1", "n2", "n1"):
        opened.look(name)

    assert told(opened) == ("done", "")


def test_once_another_change_came_instead_it_was_not_made(cluster: FakeCluster) -> None:
    cluster.spy = lose("config.propose", "n1", answer=True)
    assert (add(cluster, "n2", "alice").error or {})["class"] == "OutcomeOpen"
    cluster.spy = quiet
    permit(cluster, "n1", "bob")

    listed = recovered_jobs.own_jobs(cluster.hosts["n2"])[-1]

    assert listed["error"]["class"] == "Refused" and "was not made" in listed["error"]["message"]


def test_a_claim_that_is_made_after_all_is_not_taken_for_the_work(cluster: FakeCluster) -> None:
    cluster.run("n1", create.create, name="web1", memory="64MiB")
    host = cluster.hosts["n1"]
    cluster.spy = lose("config.accept", "n2")
    job = host.jobs.begin("update web1", "alice")
    host.jobs.run(job, lambda: change.update(host, "web1", cpus=3))
    cluster.spy = quiet
    assert job.error is not None and job.error["class"] == "OutcomeOpen"

    cluster.look("n1")

    assert f"{job.id}.c1" in cluster.read("n1").changes
    assert cluster.read("n1").vm("web1").cpus == 1
    assert told(cluster) == ("failed", "OutcomeOpen")


@pytest.mark.parametrize("restarted", [False, True])
def test_an_outcome_that_was_known_stays_known_when_the_document_has_forgotten_the_change(
    opened: FakeCluster, monkeypatch: pytest.MonkeyPatch, restarted: bool
) -> None:
    monkeypatch.setattr(changes, "REMEMBERED_CHANGES", 3)
    monkeypatch.setattr(recovered_jobs, "REMEMBERED_CHANGES", 3)
    opened.look("n1")
    assert told(opened) == ("done", "")

    for number in range(4):
        permit(opened, "n1", f"user{number}")
    if restarted:
        opened.boot("n1")

    assert told(opened) == ("done", "")


def test_an_outcome_that_nobody_looked_at_in_time_is_not_called_not_made(
    opened: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "REMEMBERED_CHANGES", 3)
    monkeypatch.setattr(recovered_jobs, "REMEMBERED_CHANGES", 3)
    opened.look("n1")
    for number in range(4):
        permit(opened, "n1", f"user{number}")

    assert opened.read().permissions.superusers[0] == "alice"
    assert told(opened) == ("failed", "OutcomeOpen")
