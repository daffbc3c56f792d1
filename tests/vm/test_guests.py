"""The end of mcv's guests with their host: asked all at once, and in the end their plugs."""

import os
import threading
import time

import pytest

from mcv.document.model import Vm
from mcv.drivers.domain_xml import domain_xml
from mcv.drivers.libvirt import Definition
from mcv.drivers.libvirt_identity import DomainStates
from mcv.errors import CommandFailed, HypervisorFailed, LibvirtSilent
from mcv.system import systemd
from mcv.vm import guests, moves_awaited
from tests.fakes.domains import FakeDomains

UUID = "6d637600-0000-4000-8000-00000000000"


class Deaf(FakeDomains):
    """Guests that hear the power button late, or never."""

    def __init__(self) -> None:
        self.uuids: dict[str, str] = {}
        super().__init__(lambda: self.uuids)
        self.heeds: dict[str, int] = {}  # after so many presses; 0 for never
        self.asked: list[str] = []
        self.pulled: list[str] = []

    def shutdown(self, name: str) -> None:
        self.asked.append(name)
        if self.heeds.get(name, 1) == self.asked.count(name):
            super().shutdown(name)

    def stop(self, name: str) -> None:
        self.pulled.append(name)
        super().stop(name)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """mcvd of this very host is not asked."""
    monkeypatch.setattr(moves_awaited, "wait", lambda: None)


@pytest.fixture
def domains(monkeypatch: pytest.MonkeyPatch) -> Deaf:
    """Three guests of mcv's and a foreign guest run; time passes by being slept."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", lambda s: clock.__setitem__(0, clock[0] + s))
    deaf = Deaf()
    for number, name in enumerate(("web1", "web2", "web3", "foreign")):
        vm = Vm(name=name, uuid=f"{UUID}{number}", memory=1 << 24, cpus=1, node="n1", nodes=("n1",))
        xml = domain_xml(
            vm, sources={}, networks={}, node="", domain_type="qemu", emulator="/bin/qemu"
        )
        deaf.define(xml if name != "foreign" else xml.replace("urn:mcv:vm:1", "urn:other"))
        deaf.uuids[name] = vm.uuid
        deaf.active[name] = "running"
    deaf.uuids.clear()
    deaf.uuids |= guests.marked(deaf, 0)
    return deaf


def test_all_are_asked_at_once_and_foreign_guests_are_left_alone(domains: Deaf) -> None:
    assert guests.end_all(domains, 180) == []

    assert sorted(domains.asked) == ["web1", "web2", "web3"]
    assert domains.pulled == [] and set(domains.active) == {"foreign"}
    assert time.monotonic() == 0


def test_a_guest_that_ignores_it_holds_nothing_up_for_longer_than_the_timeout(
    domains: Deaf,
) -> None:
    domains.heeds = {"web2": 0}

    assert guests.end_all(domains, 180) == ["web2"]

    assert domains.pulled == ["web2"] and set(domains.active) == {"foreign"}
    assert 180 <= time.monotonic() < 182


def test_a_guest_that_was_booting_is_asked_again(domains: Deaf) -> None:
    domains.heeds = {"web1": 2}
    assert guests.end_all(domains, 180) == []
    assert 20 <= time.monotonic() < 22


def test_nothing_is_waited_for_where_only_paused_guests_are_left(domains: Deaf) -> None:
    domains.heeds = {"web1": 0}
    domains.pause("web1")
    assert guests.end_all(domains, 180) == ["web1"]
    assert time.monotonic() == 0


def test_a_guest_that_libvirt_cannot_ask_does_not_keep_the_others(
    domains: Deaf, caplog: pytest.LogCaptureFixture
) -> None:
    domains.broken.add("web1")
    assert guests.end_all(domains, 5) == ["web1"]
    assert set(domains.active) == {"foreign"}
    assert "Could not shut down web1" in caplog.text


def test_a_libvirt_that_is_slow_is_asked_again(
    domains: Deaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = domains.states
    slow = [LibvirtSilent("libvirt does not answer."), LibvirtSilent("libvirt does not answer.")]

    def states() -> DomainStates:
        if slow:
            raise slow.pop()
        return answers()

    monkeypatch.setattr(domains, "states", states)

    assert guests.end_all(domains, 180) == []
    assert set(domains.active) == {"foreign"}


def test_what_moves_away_is_waited_for_before_anything_is_asked_to_end(
    domains: Deaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "host_is_stopping", lambda: True)
    monkeypatch.setattr(guests, "Hypervisor", lambda known: domains)
    asked: list[list[str]] = []
    monkeypatch.setattr(moves_awaited, "wait", lambda: asked.append(list(domains.asked)))

    guests.main()

    assert asked == [[]] and sorted(domains.asked) == ["web1", "web2", "web3"]


@pytest.mark.parametrize("trouble", ["fails", "hangs"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_whatever_goes_wrong_with_the_wait_the_guests_are_ended(
    domains: Deaf, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr(systemd, "host_is_stopping", lambda: True)
    monkeypatch.setattr(guests, "Hypervisor", lambda known: domains)
    monkeypatch.setattr(guests, "MOVES", 0.05)
    over = threading.Event()

    def wait() -> None:
        if trouble == "fails":
            raise RuntimeError("no such module")
        over.wait(20)

    monkeypatch.setattr(moves_awaited, "wait", wait)

    guests.main()

    over.set()
    assert sorted(domains.asked) == ["web1", "web2", "web3"]


def test_nothing_is_done_while_the_host_stays(
    domains: Deaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "host_is_stopping", lambda: False)
    monkeypatch.setattr(guests, "Hypervisor", lambda known: domains)

    guests.main()

    assert domains.asked == []


def test_a_systemd_that_does_not_answer_while_it_stops_the_unit_stops_the_host(
    domains: Deaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent() -> bool:
        raise CommandFailed("`systemctl` does not answer.")

    monkeypatch.setattr(systemd, "host_is_stopping", silent)
    monkeypatch.setattr(guests, "Hypervisor", lambda known: domains)

    guests.main()

    assert len(domains.asked) == 3
    timers = [one for one in threading.enumerate() if isinstance(one, threading.Timer)]
    assert not [one for one in timers if one.function is os._exit and not one.finished.is_set()]


def test_without_libvirt_the_program_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(FakeDomains):
        def definitions(self) -> dict[str, Definition]:
            raise HypervisorFailed("Could not list the domains: no connection.")

    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", lambda s: clock.__setitem__(0, clock[0] + s))

    monkeypatch.setattr(systemd, "host_is_stopping", lambda: True)
    monkeypatch.setattr(guests, "Hypervisor", lambda known: Gone())
    with pytest.raises(SystemExit, match="no connection"):
        guests.main()
