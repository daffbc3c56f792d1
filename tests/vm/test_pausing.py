"""A guest that stands still: paused and resumed on its owner, and each hint leads on."""

from collections.abc import Callable
from typing import Any

import pytest

from mcv.errors import Busy, HypervisorFailed, McvError, Refused
from mcv.host import Host
from mcv.network import verbs as network
from mcv.status import vms
from mcv.vm import create, live, migrate, pausing, power
from tests.fakes.cluster import FakeCluster


@pytest.fixture
def running(vm: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """web1 runs on n1, its owner."""
    monkeypatch.setattr(pausing, "AGAIN", 0.0)
    vm.run("n1", power.start, name="web1")
    return vm


@pytest.fixture
def paused(running: FakeCluster) -> FakeCluster:
    running.run("n1", pausing.pause, name="web1")
    return running


def row(cluster: FakeCluster) -> vms.VmSummary:
    return vms.list_(cluster.hosts["n2"])[0]


def test_a_guest_is_paused_and_goes_on_and_the_document_stays(running: FakeCluster) -> None:
    document = running.read()

    assert running.run("n1", pausing.pause, name="web1").state == "paused"
    assert running.domains["n1"].active == {"web1": "paused"}
    assert (row(running).state, row(running).attention) == ("paused", None)
    assert running.run("n1", pausing.resume, name="web1").state == "running"

    assert running.domains["n1"].active == {"web1": "running"} and running.read() == document


Verb = Callable[..., Any]


@pytest.mark.parametrize(
    ("verb", "params", "says"),
    [
        (power.start, {}, "is paused already"),
        (power.shutdown, {}, "hears nothing"),
        (migrate.migrate, {"to": "n2"}, "is paused"),
        (migrate.migrate, {"to": "n2", "wait_for_shutdown": True}, "is paused"),
        (live.migrate, {"to": "n2"}, "is paused"),
        (pausing.pause, {}, "is paused already"),
    ],
)
def test_each_refusal_about_a_paused_guest_leads_to_resume(
    paused: FakeCluster, verb: Verb, params: dict[str, Any], says: str
) -> None:
    with pytest.raises(Refused, match=says) as refusal:
        paused.run("n1", verb, name="web1", **params)

    assert "mcv resume web1" in refusal.value.hint and "--wait" not in refusal.value.hint
    paused.run("n1", pausing.resume, name="web1")


def test_the_plug_of_a_paused_guest_can_be_pulled(paused: FakeCluster) -> None:
    paused.run("n1", power.stop, name="web1")

    assert paused.domains["n1"].state("web1") == "stopped"


def test_a_reset_says_that_a_paused_guest_stands_still(paused: FakeCluster) -> None:
    assert paused.run("n1", power.reset, name="web1").state == "paused"
    paused.run("n1", pausing.resume, name="web1")
    assert paused.run("n1", power.reset, name="web1").state == "running"


def test_a_guest_whose_disk_failed_is_told_and_stands_still_until_the_disk_is_well(
    running: FakeCluster,
) -> None:
    running.domains["n1"].fail_disk("web1")

    attention = row(running).attention
    assert attention is not None and "a disk of it failed or is full" in attention
    assert "mcv resume web1" in attention
    with pytest.raises(HypervisorFailed, match="stood still again at once"):
        running.run("n1", pausing.resume, name="web1")
    running.domains["n1"].io_errors.clear()
    assert running.run("n1", pausing.resume, name="web1").state == "running"


@pytest.mark.parametrize("verb", [pausing.pause, pausing.resume])
def test_what_does_not_run_is_neither_paused_nor_resumed(vm: FakeCluster, verb: Verb) -> None:
    with pytest.raises(Refused, match="does not run on n1") as refusal:
        vm.run("n1", verb, name="web1")

    assert refusal.value.hint == "mcv start web1"


def test_a_copy_that_lost_is_not_resumed(paused: FakeCluster) -> None:
    """n2 holds a paused copy of what belongs to n1."""
    with pytest.raises(Refused, match="belongs to n1"):
        paused.run("n2", pausing.resume, name="web1")


def test_an_arrival_is_not_resumed(paused: FakeCluster) -> None:
    paused.hosts["n1"].update("vm.claim", "a migration", name="web1", why="migrate web1")

    with pytest.raises(Busy, match="migrate web1"):
        paused.run("n1", pausing.resume, name="web1")

    assert paused.domains["n1"].active == {"web1": "paused"}


def test_a_guest_whose_process_was_killed_has_crashed_until_its_next_start(
    running: FakeCluster,
) -> None:
    running.domains["n1"].crash("web1")

    seen = row(running)
    assert seen.state == "crashed" and seen.attention is not None
    assert "web1 crashed on n1" in seen.attention and "mcv start web1" in seen.attention
    running.run("n1", power.start, name="web1")
    assert (row(running).state, row(running).attention) == ("running", None)
    running.run("n1", power.stop, name="web1")
    assert (row(running).state, row(running).attention) == ("stopped", None)


def start_without_bridge(host: Host) -> str:
    host.bridges.names = ()  # type: ignore[attr-defined]
    try:
        power.start(host, "web2")
    except McvError as error:
        return f"{error.message} {error.hint}"
    return ""


def test_a_start_without_its_bridge_says_so_as_a_migration_does(cluster: FakeCluster) -> None:
    cluster.run("n1", network.create, name="lan", bridge="br-lan")
    cluster.run("n1", create.create, name="web2", memory="64MiB", networks=["lan"])

    said = start_without_bridge(cluster.hosts["n1"])

    [(message, hint)] = migrate.fits(cluster.hosts["n1"], "web2", 0, ["br-lan"])
    assert said == f"{message} {hint}" == "n1 has no bridge br-lan. Make it on the host."
    assert cluster.domains["n1"].state("web2") == "stopped"
