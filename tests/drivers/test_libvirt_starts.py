"""Starts and resumes behind a gate, and markers of starts of which no answer is known."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from mcv.drivers.libvirt import Hypervisor
from mcv.errors import HypervisorFailed, Refused
from mcv.ha.gate import Gate
from mcv.system.start_gate import StartGate
from tests.drivers.test_gate_of_drivers import ShutGate
from tests.drivers.test_libvirt import DEFINITION, known

URI = "test:///default"


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate("n1", lambda: None, tmp_path)


@pytest.fixture
def hypervisor(gate: Gate) -> Iterator[Hypervisor]:
    libvirt_of_test = Hypervisor(known, URI, gate=gate)
    libvirt_of_test.define(DEFINITION)
    yield libvirt_of_test
    libvirt_of_test.stop("web1")
    libvirt_of_test.undefine("web1")


def test_a_shut_gate_lets_no_domain_begin_or_go_on(hypervisor: Hypervisor) -> None:
    shut = ShutGate()
    refusing = Hypervisor(known, URI, gate=shut)
    with pytest.raises(Refused, match="start web1"):
        refusing.start("web1")
    assert hypervisor.state("web1") == "stopped"

    hypervisor.start("web1")
    hypervisor.pause("web1")
    with pytest.raises(Refused, match="resume web1"):
        refusing.resume("web1")
    assert hypervisor.state("web1") == "paused"
    refusing.start("web1")  # it is active
    hypervisor.resume("web1")
    refusing.resume("web1")  # it runs
    assert shut.refused == ["start web1", "resume web1"]


def test_a_start_leaves_no_marker_be_it_refused_by_libvirt(
    hypervisor: Hypervisor, gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hypervisor.start("web1")
    assert StartGate(tmp_path).marks() == ()
    hypervisor.stop("web1")

    seen = []

    def refuse(domain: Any) -> None:
        seen.append(StartGate(tmp_path).marks())
        raise _error(libvirt.VIR_FROM_QEMU, libvirt.VIR_ERR_OPERATION_FAILED)

    monkeypatch.setattr(libvirt.virDomain, "create", refuse)
    with pytest.raises(HypervisorFailed):
        hypervisor.start("web1")

    assert seen == [("web1",)]
    assert gate.left() == []


def test_a_marker_stays_until_libvirt_has_done_with_the_start(
    hypervisor: Hypervisor, gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    StartGate(tmp_path).mark("web1")  # as a daemon that was killed
    StartGate(tmp_path).mark("gone")

    def busy(domain: Any, *_: Any) -> None:
        raise _error(libvirt.VIR_FROM_QEMU, libvirt.VIR_ERR_OPERATION_TIMEOUT)

    with monkeypatch.context() as patch:
        patch.setattr(libvirt.virDomain, "setMetadata", busy)
        hypervisor.starts.forget_ended()
    assert gate.left() == ["web1"]

    hypervisor.starts.forget_ended()
    assert gate.left() == []


def test_a_domain_that_runs_needs_no_marker(
    hypervisor: Hypervisor, gate: Gate, tmp_path: Path
) -> None:
    hypervisor.start("web1")
    StartGate(tmp_path).mark("web1")

    hypervisor.starts.forget_ended()

    assert gate.left() == []


def _error(domain: int, code: int) -> libvirt.libvirtError:
    error = libvirt.libvirtError("no")
    error.err = (code, domain, "no", 2, "", "", "", 0, 0)
    return error
