"""What an operator does with a VM that high availability manages is in the document first."""

from typing import Any

import pytest

from mcv import wanted
from mcv.cluster import departures, ha_entries, ha_orders
from mcv.document.ha_entries import HaEntry
from mcv.errors import Refused
from mcv.network import verbs as network
from mcv.vm import autostart, change, power, run_notes
from tests.fakes.armed import add_vm, arm
from tests.fakes.cluster import FakeCluster
from tests.fakes.fixtures import three as three


@pytest.fixture
def managed(three: FakeCluster) -> FakeCluster:
    """web1 on n1, which is managed and wanted started, and web3, which nobody manages."""
    three.run("n1", network.create, name="lan", bridge="br-lan")
    add_vm(three, "web1")
    add_vm(three, "web3", "n1", "n3")
    three.run("n1", ha_entries.add, name="web1")
    return three


def entry(managed: FakeCluster) -> HaEntry:
    return managed.read().ha_vms["web1"]


def at(managed: FakeCluster, what: str) -> list[str]:
    """What the document said when the domain of web1 was acted on."""
    said: list[str] = []
    door: Any = managed.domains["n1"]
    act = getattr(door, what)

    def acted(name: str) -> Any:
        said.append(entry(managed).wanted)
        return act(name)

    setattr(door, what, acted)
    return said


def test_a_stop_is_in_the_document_before_the_plug_is_pulled(managed: FakeCluster) -> None:
    managed.run("n1", power.start, name="web1")
    said = at(managed, "stop")

    managed.run("n1", power.stop, name="web1")

    assert said == ["stopped"]


def test_a_shutdown_is_in_the_document_before_the_guest_is_asked(managed: FakeCluster) -> None:
    managed.run("n1", power.start, name="web1")
    said = at(managed, "shutdown")

    managed.run("n1", power.shutdown, name="web1")

    assert said == ["stopped"]


def test_a_start_is_in_the_document_before_it_is_made(managed: FakeCluster) -> None:
    managed.run("n1", ha_entries.set_, name="web1", state="stopped")
    said = at(managed, "start")

    managed.run("n1", power.start, name="web1")

    assert said == ["started"]


def test_a_start_that_is_refused_or_planned_says_nothing(managed: FakeCluster) -> None:
    managed.run("n1", power.start, name="web1")
    managed.run("n1", ha_entries.set_, name="web1", state="stopped")
    with pytest.raises(Refused):
        managed.run("n1", power.start, name="web1")
    managed.run("n1", power.stop, name="web1")

    managed.run("n1", power.start, name="web1", dry_run=True)

    assert entry(managed).wanted == "stopped"


def test_a_start_ends_a_failure(managed: FakeCluster) -> None:
    managed.hosts["n1"].update("ha.failed", "x", name="web1", why="it failed on n1 and n2")

    managed.run("n1", power.start, name="web1")

    assert (entry(managed).failed, entry(managed).asked) == ("", managed.read().generation)


def test_what_waits_to_be_started_is_stopped_by_the_word_alone(managed: FakeCluster) -> None:
    managed.run("n1", power.stop, name="web1")

    assert entry(managed).wanted == "stopped"
    with pytest.raises(Refused, match="does not run"):
        managed.run("n1", power.stop, name="web1")


def test_a_vm_that_nobody_manages_has_no_entry(managed: FakeCluster) -> None:
    before = managed.read()
    managed.run("n1", power.start, name="web3")
    managed.run("n1", power.stop, name="web3")

    assert managed.read() == before


def test_what_is_to_be_ignored_stays_so(managed: FakeCluster) -> None:
    managed.run("n1", ha_entries.set_, name="web1", state="ignored")

    managed.run("n1", power.start, name="web1")
    managed.run("n1", power.stop, name="web1")

    assert entry(managed).wanted == "ignored"


def test_a_stop_without_a_majority_is_made_and_noted(managed: FakeCluster) -> None:
    managed.run("n1", power.start, name="web1")
    managed.down |= {"n2", "n3"}

    managed.run("n1", power.stop, name="web1")

    host = managed.hosts["n1"]
    assert not managed.domains["n1"].is_active("web1")
    assert (entry(managed).wanted, wanted.noted(host, "web1")) == ("started", "stopped")
    managed.down.clear()
    for name in managed.hosts:
        managed.look(name)
    wanted.write_noted(host)
    assert (entry(managed).wanted, wanted.noted(host, "web1")) == ("stopped", None)


def test_a_later_start_voids_the_note(managed: FakeCluster) -> None:
    managed.run("n1", power.start, name="web1")
    managed.down |= {"n2", "n3"}
    managed.run("n1", power.stop, name="web1")
    managed.down.clear()
    for name in managed.hosts:
        managed.look(name)

    managed.run("n1", power.start, name="web1")

    assert wanted.noted(managed.hosts["n1"], "web1") is None
    assert entry(managed).wanted == "started"


def test_a_drain_that_shuts_down_leaves_it_wanted(managed: FakeCluster) -> None:
    managed.run("n1", power.start, name="web1")

    managed.run("n1", departures._shut_down, name="web1")

    assert entry(managed).wanted == "started"


def test_on_an_armed_cluster_autostart_leaves_it_alone(managed: FakeCluster) -> None:
    arm(managed)
    host = managed.hosts["n1"]
    for name in ("web1", "web3"):
        run_notes.write_due(host, name)
        managed.run("n1", change.update, name=name, autostart="yes")
    assert [vm.name for vm in autostart.due(host)] == ["web3"]

    managed.run("n1", ha_entries.set_, name="web1", state="ignored")

    assert [vm.name for vm in autostart.due(host)] == ["web1", "web3"]


def test_what_high_availability_orders_leaves_what_is_wanted(managed: FakeCluster) -> None:
    for end in (ha_orders._shut_down, ha_orders._stop):
        managed.run("n1", ha_orders._start, name="web1")
        managed.run("n1", end, name="web1")
        assert not managed.domains["n1"].is_active("web1")

    assert entry(managed).wanted == "started"


def test_an_order_to_start_never_undoes_an_operator_s_word(managed: FakeCluster) -> None:
    managed.run("n1", ha_entries.set_, name="web1", state="stopped")
    with pytest.raises(Refused, match="not to start by itself any more"):
        managed.run("n1", ha_orders._start, name="web1")
    managed.run("n1", ha_entries.set_, name="web1", state="started")
    managed.down |= {"n2", "n3"}
    managed.run("n1", power.stop, name="web1")
    managed.down.clear()
    for name in managed.hosts:
        managed.look(name)

    with pytest.raises(Refused, match="not to start by itself any more"):
        managed.run("n1", ha_orders._start, name="web1")

    assert not managed.domains["n1"].is_active("web1")
