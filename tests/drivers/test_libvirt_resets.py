"""Resets are heard of on a connection of their own; the lab's contract has real ones."""

import threading
from collections.abc import Iterator

import pytest

from mcv.drivers.libvirt import Hypervisor
from mcv.errors import HypervisorFailed
from tests.contract import eventually
from tests.drivers.test_libvirt import DEFINITION, known


@pytest.fixture
def hypervisor() -> Iterator[Hypervisor]:
    """libvirt with the domain web1, which runs."""
    libvirt_of_test = Hypervisor(known, "test:///default")
    libvirt_of_test.define(DEFINITION)
    libvirt_of_test.start("web1")
    yield libvirt_of_test
    libvirt_of_test.stop("web1")
    libvirt_of_test.undefine("web1")


def test_nothing_is_told_before_a_reset(hypervisor: Hypervisor) -> None:
    with hypervisor.resets.watched("web1") as looks:
        assert (next(looks), next(looks)) == (False, False)


def test_looks_end_where_libvirtd_goes_away(hypervisor: Hypervisor) -> None:
    with hypervisor.resets.watched("web1") as looks:
        assert next(looks) is False
        watch = looks.gi_frame.f_locals["self"]  # type: ignore[attr-defined]
        watch._entered.close()

        assert list(looks) == []


def test_only_one_loop_of_events_runs_and_watching_leaves_nothing(hypervisor: Hypervisor) -> None:
    for _ in range(3):
        with hypervisor.resets.watched("web1"):
            pass

    names = [thread.name for thread in threading.enumerate()]
    assert names.count("libvirt-events") == 1
    eventually(lambda: "libvirt-watch-end" not in {t.name for t in threading.enumerate()})


def test_errors_are_retold(hypervisor: Hypervisor) -> None:
    with pytest.raises(HypervisorFailed, match="Could not reboot nobody: Domain not found"):
        hypervisor.resets.reboot("nobody")
    watched = hypervisor.resets.watched("nobody")
    with pytest.raises(HypervisorFailed, match="Could not watch nobody: Domain not found"):
        watched.__enter__()
