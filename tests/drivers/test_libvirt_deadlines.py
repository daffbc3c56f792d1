"""A libvirt that hangs: reads are given up, changes are waited for, and few threads are blocked."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mcv.drivers import libvirt_connection, libvirt_deadlines
from mcv.drivers.libvirt import Hypervisor
from mcv.drivers.libvirt_deadlines import Circuit
from mcv.errors import HypervisorFailed, LibvirtSilent, OutcomeOpen
from mcv.system import stall

AT_ONCE = 0.15  # seconds; the machine is busy


class Daemon:
    """A libvirtd that can stand still: its calls wait until it goes on."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.calls = 0

    def call(self) -> int:
        self.calls += 1
        assert self.goes_on.wait(20)
        return 7


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    one = Daemon()
    yield one
    one.goes_on.set()


@pytest.fixture
def circuit(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Circuit:
    monkeypatch.setattr(libvirt_deadlines, "READ", 0.1)
    monkeypatch.setattr(libvirt_deadlines, "PATIENT", 0.6)
    monkeypatch.setattr(libvirt_deadlines, "LOOK", 0.05)
    return Circuit(daemon.call, "n1")


@pytest.fixture
def hurried() -> Iterator[None]:
    """The reads of a report."""
    token = stall.in_a_hurry.set(True)
    yield
    stall.in_a_hurry.reset(token)


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What an operation hears while it stands still."""
    said: list[str] = []
    token = stall.listener.set(said.append)
    yield said
    stall.listener.reset(token)


def blocked() -> int:
    return sum(thread.name.startswith("libvirt-") for thread in threading.enumerate())


def test_while_one_read_hangs_further_reads_fail_at_once_and_one_thread_probes(
    daemon: Daemon, circuit: Circuit, hurried: None
) -> None:
    assert circuit.read(daemon.call) == 7
    daemon.goes_on.clear()
    with pytest.raises(LibvirtSilent, match="libvirt does not answer on n1"):
        circuit.read(daemon.call)

    began = time.monotonic()
    for _ in range(50):
        with pytest.raises(LibvirtSilent):
            circuit.read(daemon.call)
    assert time.monotonic() - began < AT_ONCE
    assert blocked() == 2  # the call that hangs, and the probe

    daemon.goes_on.set()
    assert circuit.await_answer(5)
    assert circuit.read(daemon.call) == 7


def test_a_libvirtd_that_answers_probes_alone_is_silent_and_blocks_few_threads(
    daemon: Daemon, circuit: Circuit, hurried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libvirt_deadlines, "MOST", 3)
    only_probes = Circuit(lambda: None, "n1")
    daemon.goes_on.clear()
    for _ in range(20):
        with pytest.raises(LibvirtSilent):
            only_probes.read(daemon.call)
        only_probes.await_answer(0.05)

    began = time.monotonic()
    with pytest.raises(LibvirtSilent):
        only_probes.read(daemon.call)
    assert time.monotonic() - began < AT_ONCE
    assert daemon.calls == 3 and blocked() == 4 and only_probes.silence

    daemon.goes_on.set()
    assert only_probes.await_answer(5)
    assert only_probes.read(daemon.call) == 7 and only_probes.silence == ""


def test_a_read_of_an_operation_outlasts_a_short_silence(daemon: Daemon, circuit: Circuit) -> None:
    daemon.goes_on.clear()
    token = stall.in_a_hurry.set(True)
    with pytest.raises(LibvirtSilent):
        circuit.read(daemon.call)
    stall.in_a_hurry.reset(token)
    threading.Timer(0.2, daemon.goes_on.set).start()

    assert circuit.read(daemon.call) == 7


def test_an_operation_that_comes_late_into_a_long_silence_does_not_wait(
    daemon: Daemon, circuit: Circuit, told: list[str]
) -> None:
    daemon.goes_on.clear()
    with pytest.raises(LibvirtSilent):
        circuit.read(daemon.call)

    began = time.monotonic()
    with pytest.raises(LibvirtSilent):
        circuit.read(daemon.call)
    assert time.monotonic() - began < AT_ONCE


def test_a_change_is_told_to_be_open_and_waited_for_to_its_end(
    daemon: Daemon, circuit: Circuit, told: list[str]
) -> None:
    daemon.goes_on.clear()
    threading.Timer(1.5, daemon.goes_on.set).start()

    assert circuit.change("start", daemon.call) == 7

    assert "libvirt has not answered on n1 for" in told[0] and told[-1] == ""


def test_a_change_that_nobody_waits_for_is_left_open(daemon: Daemon, circuit: Circuit) -> None:
    daemon.goes_on.clear()

    with pytest.raises(OutcomeOpen, match="Whether it did pause is not known"):
        circuit.change("pause", daemon.call)


def test_a_change_during_a_short_silence_is_not_told_to_be_open(
    daemon: Daemon, circuit: Circuit, told: list[str]
) -> None:
    daemon.goes_on.clear()
    threading.Timer(0.4, daemon.goes_on.set).start()

    assert circuit.change("start", daemon.call) == 7

    assert set(told) <= {""}


def test_a_slow_question_has_time(circuit: Circuit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvirt_deadlines, "PATIENT", 0.2)

    assert circuit.read(lambda: time.sleep(0.5), slow=True) is None
    assert circuit.silence == ""


def test_a_change_that_takes_long_is_no_silence(
    daemon: Daemon, circuit: Circuit, told: list[str]
) -> None:
    assert circuit.change("start", lambda: time.sleep(0.3)) is None

    assert set(told) <= {""}


def test_a_start_in_which_libvirtd_goes_away_is_looked_at_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    monkeypatch.setattr(libvirt_connection, "AGAIN", 0.01)
    libvirt = libvirt_connection.libvirt_module()
    hypervisor = Hypervisor(dict, "test:///default", "n1")
    connection: Any = hypervisor._connection
    starts, probes = [], [0]

    def start() -> str:
        starts.append(1)
        if len(starts) == 1:
            raise HypervisorFailed("Could not start web1: end of file.") from broken
        return "is active"

    class Broken(libvirt.libvirtError):  # type: ignore[misc, name-defined]
        def get_error_domain(self) -> int:
            return int(libvirt.VIR_FROM_RPC)

    broken = Broken("end of file")

    def probe() -> None:
        probes[0] += 1
        if probes[0] < 3:
            raise Broken("connection refused")

    monkeypatch.setattr(connection, "_probe", probe)

    assert connection.change_once_more("start", start) == "is active"

    assert len(starts) == 2 and probes[0] == 3
    assert "libvirt went away on n1" in told[0] and told[-1] == ""


def test_a_libvirt_that_was_not_there_from_the_beginning_is_not_waited_for() -> None:
    with pytest.raises(HypervisorFailed, match="Could not start web1"):
        Hypervisor(dict, "qemu+unix:///system?socket=/nowhere", "n1").start("web1")
