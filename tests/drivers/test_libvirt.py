"""Libvirt's own test driver, for real: domains that live in this process alone."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import libvirt
import pytest

from mcv.drivers import libvirt_identity, libvirt_listing
from mcv.drivers.domain_reading import substance
from mcv.drivers.libvirt import Hypervisor
from mcv.drivers.libvirt_identity import DomainStates, ForeignDomain
from mcv.drivers.libvirt_xml import parse_capabilities, vnc_of
from mcv.errors import HypervisorFailed

DEFINITION = """
<domain type='test'>
  <name>web1</name>
  <uuid>6d637600-0000-4000-8000-000000000001</uuid>
  <metadata><mcv:vm xmlns:mcv="urn:mcv:vm:1"/></metadata>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type>hvm</type></os>
</domain>
"""


UUID = "6d637600-0000-4000-8000-000000000001"


def known() -> dict[str, str]:
    """web1 is a VM; a VM `test` has another UUID than the domain of that name."""
    return {"web1": UUID, "test": "6d637600-0000-4000-8000-000000000002"}


@pytest.fixture
def hypervisor() -> Iterator[Hypervisor]:
    """Libvirt with the domain web1, defined and stopped, and its own `test`, running.

    test:///default is shared by all connections of a process, so web1 is taken away.
    """
    libvirt_of_test = Hypervisor(known, "test:///default")
    libvirt_of_test.define(DEFINITION)
    yield libvirt_of_test
    libvirt_of_test.stop("web1")
    libvirt_of_test.undefine("web1")


def test_a_domain_lives_through_its_states(hypervisor: Hypervisor) -> None:
    seen = [hypervisor.state("web1")]
    for verb in (
        hypervisor.start,
        hypervisor.pause,
        hypervisor.stop,
        hypervisor.start,
        hypervisor.shutdown,
        hypervisor.undefine,
    ):
        verb("web1")
        seen.append(hypervisor.state("web1"))

    assert seen == ["stopped", "running", "paused", "stopped", "running", "stopped", "absent"]


def test_the_vms_domains_are_listed_and_who_is_in_their_way(hypervisor: Hypervisor) -> None:
    foreign = ForeignDomain(name="test", state="running", marked=False)

    assert hypervisor.states() == DomainStates(vms={"web1": "stopped"}, foreign={"test": foreign})


def test_a_domain_is_asked_for_its_mark_once_while_it_is_listed(
    hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    is_marked = libvirt_identity.is_marked

    def counted(module_: Any, domain: Any) -> bool:
        asked.append(domain.name())
        return is_marked(module_, domain)

    monkeypatch.setattr(libvirt_identity, "is_marked", counted)
    for _ in range(3):
        assert hypervisor.states().vms == {"web1": "stopped"}

    assert asked.count("web1") == 1


def test_a_domain_that_lost_its_mark_is_changed_no_more(hypervisor: Hypervisor) -> None:
    assert hypervisor.states().vms == {"web1": "stopped"}
    domain = libvirt.open("test:///default").lookupByName("web1")
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, None, "mcv", "urn:mcv:vm:1")

    with pytest.raises(HypervisorFailed, match="the domain web1 is not mcv's"):
        hypervisor.start("web1")
    with pytest.raises(HypervisorFailed, match="is not mcv's"):
        hypervisor.define(DEFINITION)
    assert hypervisor.state("web1") == "foreign"
    assert hypervisor.states().vms == {}

    domain.undefine()


def test_only_a_domain_that_neither_runs_nor_is_off_is_asked_by_itself(
    hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    one_by_one = libvirt_listing.state_of

    def state(domain: Any) -> str:
        asked.append(domain.name())
        return one_by_one(domain)

    monkeypatch.setattr(libvirt_listing, "state_of", state)
    stopped = hypervisor.states()
    hypervisor.start("web1")
    hypervisor.pause("web1")
    assert asked == []

    assert hypervisor.states().vms == {"web1": "paused"}
    assert asked == ["web1"] and stopped.vms == {"web1": "stopped"}


def test_a_domain_that_libvirt_is_starting_is_not_called_paused() -> None:
    class Starting:
        def state(self) -> list[int]:
            return [3, 11]

    class Paused(Starting):
        def state(self) -> list[int]:
            return [3, 1]

    assert libvirt_listing.state_of(Starting()) == "running"
    assert libvirt_listing.state_of(Paused()) == "paused"


def test_a_paused_domain_does_not_run_but_holds_its_disk(hypervisor: Hypervisor) -> None:
    hypervisor.start("web1")
    hypervisor.pause("web1")

    assert hypervisor.state("web1") != "running"
    assert hypervisor.is_active("web1")


def test_doing_it_twice_is_harmless(hypervisor: Hypervisor) -> None:
    hypervisor.define(DEFINITION)
    for verb in (hypervisor.start, hypervisor.pause, hypervisor.stop, hypervisor.shutdown):
        verb("web1")
        verb("web1")
    hypervisor.undefine("web1")
    hypervisor.undefine("web1")

    assert hypervisor.state("web1") == "absent"


def test_what_is_not_there_can_be_stopped_and_looked_at(hypervisor: Hypervisor) -> None:
    hypervisor.stop("nobody")

    assert hypervisor.state("nobody") == "absent"
    assert not hypervisor.is_active("nobody")
    assert hypervisor.vnc("nobody") is None


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        ("start", "Could not start nobody: Domain not found"),
        ("shutdown", "Could not shut down nobody: Domain not found"),
        ("reset", "Could not reset nobody: "),
        ("pause", "Could not pause nobody: "),
        ("xml", "Could not read nobody: "),
    ],
)
def test_libvirts_errors_are_retold(hypervisor: Hypervisor, verb: str, said: str) -> None:
    with pytest.raises(HypervisorFailed, match=said):
        getattr(hypervisor, verb)("nobody")


def test_a_definition_that_is_none_is_refused(hypervisor: Hypervisor) -> None:
    with pytest.raises(HypervisorFailed, match="Could not define a domain: "):
        hypervisor.define("<domain/>")


def test_libvirt_prints_nothing_itself(
    hypervisor: Hypervisor, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(HypervisorFailed):
        hypervisor.start("nobody")

    assert capfd.readouterr().err == ""


def test_an_autostart_that_somebody_set_is_taken_back(hypervisor: Hypervisor) -> None:
    domain = libvirt.open("test:///default").lookupByName("web1")
    domain.setAutostart(True)

    hypervisor.define(DEFINITION)

    assert not domain.autostart()


def test_a_connection_that_has_died_is_opened_again(hypervisor: Hypervisor) -> None:
    # The domains of the test driver live as long as somebody is connected.
    other = libvirt.open("test:///default")
    hypervisor._connection.current().close()

    assert hypervisor.state("web1") == "stopped"
    other.close()


class Dying:
    """A connection that does not know yet that its libvirtd was restarted."""

    def isAlive(self) -> bool:
        return True

    def close(self) -> None:
        pass

    def lookupByUUIDString(self, uuid: str) -> None:
        raise died


died = libvirt.libvirtError("client socket is closed")
died.err = (libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_RPC, "socket is closed", 2)


def test_a_libvirtd_that_was_restarted_is_asked_again(hypervisor: Hypervisor) -> None:
    other = libvirt.open("test:///default")
    hypervisor._connection._connected = Dying()

    hypervisor.start("web1")

    assert hypervisor.state("web1") == "running"
    other.close()


def test_a_libvirtd_that_is_not_there_is_said() -> None:
    nowhere = Hypervisor(known, "qemu+unix:///system?socket=/nowhere/libvirt-sock")

    with pytest.raises(HypervisorFailed, match="Could not list the domains: "):
        nowhere.states()


def test_threads_share_one_connection(hypervisor: Hypervisor) -> None:
    seen: list[object] = []
    hypervisor.start("web1")
    threads = [
        threading.Thread(target=lambda: seen.append(hypervisor.state("web1"))) for _ in range(8)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == ["running"] * 8


def test_the_definition_can_be_read(hypervisor: Hypervisor) -> None:
    assert "<name>web1</name>" in hypervisor.xml("web1")


def test_free_memory_is_in_bytes(hypervisor: Hypervisor) -> None:
    assert hypervisor.memory_free() > 1024**2


@pytest.mark.parametrize(
    ("graphics", "expected"),
    [
        ("<graphics type='vnc' port='5901' listen='127.0.0.1'/>", "127.0.0.1:5901"),
        ("<graphics type='vnc' port='-1' autoport='yes'/>", None),
        ("<graphics type='spice' port='5901'/>", None),
        ("", None),
    ],
)
def test_the_screen_is_where_the_running_domain_says(graphics: str, expected: str | None) -> None:
    assert vnc_of(f"<domain><devices>{graphics}</devices></domain>") == expected


def capabilities(domains: str) -> str:
    return f"""
<capabilities>
  <host><cpu><arch>x86_64</arch><model>EPYC-Milan</model><vendor>AMD</vendor></cpu></host>
  <guest>
    <os_type>hvm</os_type>
    <arch name='i686'><emulator>/usr/bin/qemu-system-i386</emulator><domain type='qemu'/></arch>
  </guest>
  <guest>
    <os_type>hvm</os_type>
    <arch name='x86_64'>
      <emulator>/usr/bin/qemu-system-x86_64</emulator>
      <machine maxCpus='255'>pc-i440fx-7.2</machine>
      <machine canonical='pc-i440fx-7.2' maxCpus='255'>pc</machine>
      {domains}
    </arch>
  </guest>
</capabilities>
"""


@pytest.mark.parametrize(
    ("story", "domains", "domain_type", "emulator"),
    [
        (
            "no KVM",
            "<domain type='qemu'/>",
            "qemu",
            "/usr/bin/qemu-system-x86_64",
        ),
        (
            "KVM with the same emulator",
            "<domain type='qemu'/><domain type='kvm'/>",
            "kvm",
            "/usr/bin/qemu-system-x86_64",
        ),
        (
            "KVM with one of its own",
            "<domain type='qemu'/><domain type='kvm'><emulator>/usr/bin/kvm</emulator></domain>",
            "kvm",
            "/usr/bin/kvm",
        ),
        ("nothing", "", "qemu", ""),
    ],
)
def test_what_the_host_can_do_is_libvirts_word(
    story: str, domains: str, domain_type: str, emulator: str
) -> None:
    can = parse_capabilities(capabilities(domains))

    assert (story, can.domain_type, can.emulator) == (story, domain_type, emulator)
    assert can.cpu_model == "EPYC-Milan"
    assert "pc" in can.machines


def test_capabilities_are_asked_of_libvirt(hypervisor: Hypervisor) -> None:
    assert hypervisor.capabilities().emulators == {}


def test_a_definition_tells_what_will_be_started_and_that_libvirt_does_not(
    hypervisor: Hypervisor,
) -> None:
    hypervisor._connection.current().lookupByName("web1").setAutostart(True)
    assert hypervisor.definitions()["web1"].autostart

    hypervisor.leave_to_mcv("web1")

    found = hypervisor.definitions()["web1"]
    assert (found.persistent, found.autostart) == (True, False)
    assert substance(found.xml) == substance(DEFINITION)


class Stub:
    """A domain in a state of libvirt's own numbers, with its reason."""

    def __init__(self, number: int, reason: int) -> None:
        self.number = number
        self.reason = reason
        self.calls: list[str] = []

    def state(self) -> list[int]:
        return [self.number, self.reason]

    def isActive(self) -> bool:
        return bool(self.number != libvirt.VIR_DOMAIN_SHUTOFF)

    def hasManagedSaveImage(self, flags: int) -> bool:
        return False

    def resume(self) -> None:
        self.calls.append("resume")

    def shutdown(self) -> None:
        raise libvirt.libvirtError("domain is not running")

    def pMWakeup(self, flags: int) -> None:
        self.calls.append("pMWakeup")


@pytest.mark.parametrize(
    ("number", "is_told"),
    [
        (libvirt.VIR_DOMAIN_SHUTDOWN, False),  # the guest has ended, its QEMU has not
        (libvirt.VIR_DOMAIN_PAUSED, True),
        (libvirt.VIR_DOMAIN_RUNNING, True),
    ],
)
def test_a_guest_that_has_just_shut_down_need_not_be_asked_again(
    hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch, number: int, is_told: bool
) -> None:
    ending = Stub(number, 0)
    monkeypatch.setattr(
        hypervisor._connection, "domain", lambda *_, **__: contextlib.nullcontext(ending)
    )

    expected = pytest.raises(libvirt.libvirtError) if is_told else contextlib.nullcontext()
    with expected:
        hypervisor.shutdown("web1")


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN, "stopped"),
        (libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED, "stopped"),
        (libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED, "stopped"),
        (libvirt.VIR_DOMAIN_SHUTOFF_CRASHED, "crashed"),
        (libvirt.VIR_DOMAIN_SHUTOFF_FAILED, "stopped"),  # as the contract says
        (libvirt.VIR_DOMAIN_SHUTOFF_DAEMON, "crashed"),
    ],
)
def test_an_end_by_nobody_s_order_is_a_crash(
    hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch, reason: int, expected: str
) -> None:
    uuid = "6d637600-0000-4000-8000-000000000001"
    monkeypatch.setattr(libvirt_listing, "_reasons", lambda _: {uuid: reason})

    assert hypervisor.states().vms["web1"] == expected
    assert libvirt_listing.state_of(Stub(libvirt.VIR_DOMAIN_SHUTOFF, reason)) == expected


def test_an_old_reason_says_nothing_of_a_domain_that_runs(hypervisor: Hypervisor) -> None:
    hypervisor.start("web1")

    stub = Stub(libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED)
    assert libvirt_listing.state_of(stub) == "running"
    assert hypervisor.states().vms["web1"] == "running"


def test_a_pause_after_a_disk_failed_is_told_from_another(
    hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    hypervisor.start("web1")
    hypervisor.pause("web1")
    assert hypervisor.states().io_errors == ()

    uuid = "6d637600-0000-4000-8000-000000000001"
    reasons = {uuid: libvirt.VIR_DOMAIN_PAUSED_IOERROR}
    monkeypatch.setattr(libvirt_listing, "_reasons", lambda _: reasons)

    assert hypervisor.states().io_errors == ("web1",)


@pytest.mark.parametrize(
    ("number", "call"),
    [
        (libvirt.VIR_DOMAIN_PAUSED, ["resume"]),
        (libvirt.VIR_DOMAIN_PMSUSPENDED, ["pMWakeup"]),
        (libvirt.VIR_DOMAIN_RUNNING, []),
    ],
)
def test_a_guest_that_sleeps_is_woken_and_a_paused_one_resumed(
    hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch, number: int, call: list[str]
) -> None:
    stub = Stub(number, 0)
    connection = hypervisor._connection
    monkeypatch.setattr(connection, "domain", lambda *_, **__: contextlib.nullcontext(stub))

    hypervisor.resume("web1")

    assert stub.calls == call


def test_the_domain_of_a_vm_that_was_deleted_is_not_remembered(hypervisor: Hypervisor) -> None:
    assert hypervisor.states().vms == {"web1": "stopped"}
    marks = hypervisor._connection.marks
    marks._seen.add("of a VM that was deleted")

    hypervisor.states()

    assert marks._seen == {UUID}
