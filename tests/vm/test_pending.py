"""What of a running VM waits for its next start, over fake doors."""

import pytest

from mcv.drivers.domain_reading import mark_of, substance
from mcv.drivers.domain_shape import shape
from mcv.errors import DoneInPart
from mcv.status import vms
from mcv.vm import change, live, pending, power
from tests.fakes.cluster import FakeCluster

MIB = 1024**2


@pytest.fixture
def running(vm: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """web1 of 64 MiB and a CPU, which runs on n1."""
    monkeypatch.setattr(pending, "SETTLING", 0.0)
    vm.run("n1", power.start, name="web1")
    return vm


def told(cluster: FakeCluster, node: str = "n2") -> list[str]:
    return vms.info(cluster.hosts[node], "web1").pending


def test_what_runs_as_it_was_defined_waits_for_nothing(running: FakeCluster) -> None:
    assert told(running) == []
    running.run("n1", power.stop, name="web1")
    running.run("n1", change.update, name="web1", memory="1GiB", cpus=8)
    assert told(running) == []


def test_memory_is_given_back_and_cpus_are_plugged_in_while_it_runs(running: FakeCluster) -> None:
    answer = running.run("n1", change.update, name="web1", memory="32MiB", cpus=4)

    live = shape(running.domains["n1"].xml("web1"))
    assert (live.memory, live.most_memory, live.cpus) == (32, 64, 4)
    assert answer.pending == told(running) == [] and not answer.active
    assert substance(running.domains["n1"].defined["web1"]).memory == 32


def test_what_cannot_be_had_while_it_runs_is_told_until_the_next_start(
    running: FakeCluster,
) -> None:
    answer = running.run("n1", change.update, name="web1", memory="1GiB", cpus=9)

    waits = [
        "memory 1GiB (its guest has 64MiB, and began with 64MiB)",
        "9 CPUs (it runs with 1)",
    ]
    assert answer.pending == waits and answer.active
    assert told(running, "n1") == told(running, "n2") == waits
    running.run("n1", power.stop, name="web1")
    running.run("n1", power.start, name="web1")
    assert told(running) == []


def test_a_guest_that_keeps_its_memory_is_seen_to(running: FakeCluster) -> None:
    running.domains["n1"].machine.deaf.add("web1")

    answer = running.run("n1", change.update, name="web1", memory="32MiB")

    assert answer.pending == told(running) == ["memory 32MiB (its guest has 64MiB)"]


def test_a_part_that_libvirt_refuses_is_named_and_the_others_are_done(running: FakeCluster) -> None:
    running.domains["n1"].broken.add("give CPUs to")

    with pytest.raises(DoneInPart, match=r"is done, but: .*Could not give CPUs") as said:
        running.run("n1", change.update, name="web1", memory="32MiB", cpus=2)

    assert "mcv info web1" in said.value.hint
    assert running.read().vm("web1").cpus == 2 and running.read().vm("web1").claim is None
    assert told(running) == ["2 CPUs (it runs with 1)"]


def test_a_domain_bears_the_processor_that_it_began_with(running: FakeCluster) -> None:
    domains = running.domains["n1"]
    begun = mark_of(domains.xml("web1"))
    assert begun is not None and begun.cpu == ""

    domains.define(domains.defined["web1"].replace('cpu=""', 'cpu="Nehalem"'))

    assert mark_of(domains.xml("web1")) == begun


def test_what_waits_goes_along_with_a_vm_that_moves(running: FakeCluster) -> None:
    running.run("n1", change.update, name="web1", cpus=9)
    running.run("n1", live.migrate, name="web1", to="n2")

    assert told(running) == ["9 CPUs (it runs with 1)"]


def test_nothing_is_told_of_a_silent_owner(running: FakeCluster) -> None:
    running.run("n1", change.update, name="web1", cpus=9)
    running.down.add("n1")

    assert told(running) == []
