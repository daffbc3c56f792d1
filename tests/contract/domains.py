"""What operations may rely on in the libvirt of a host."""

import re
from collections.abc import Callable
from typing import Protocol

import pytest

from mcv.drivers.domain_reading import SavedState, substance
from mcv.drivers.libvirt import Hypervisor
from mcv.drivers.libvirt_identity import DomainStates, ForeignDomain
from mcv.drivers.libvirt_trials import PREFIX
from mcv.errors import HypervisorFailed
from tests.contract import eventually
from tests.contract.definition import unmarked

NAME = "contract"
OTHER = "contract-2"
UUID = "6d637600-0000-4000-8000-00000000000c"
OTHER_UUID = "6d637600-0000-4000-8000-00000000000d"
NOBODYS_UUID = "6d637600-0000-4000-8000-00000000000e"


KNOWN = {NAME: UUID, OTHER: OTHER_UUID}  # the VMs of the document; tests/lab/agent.py as well


class Stand(Protocol):
    """A host's libvirt that knows of neither NAME nor OTHER."""

    domains: Hypervisor

    def definition(self, name: str = NAME, uuid: str = UUID, memory_mib: int = 16) -> str:
        """The XML of a domain whose guest heeds the power button at once."""

    def define_as_others_do(self, xml: str) -> None:
        """Define a domain past mcv."""

    def start_as_others_do(self, name: str) -> None:
        """Start a domain past mcv."""

    def raw_state(self, name: str) -> str:
        """The state of the domain of a name, whoever made it; absent where there is none."""

    def autostart(self, name: str) -> None:
        """Let libvirt start it when the host boots, as an administrator might."""

    def kill(self, name: str) -> None:
        """End the process of a domain that runs, as the kernel does when memory is short."""

    def save(self, name: str) -> None:
        """Have libvirt save the memory of a domain that runs, and end it."""

    def spoil(self, name: str) -> None:
        """Make the next start of a domain fail."""


def _running(stand: Stand) -> Hypervisor:
    stand.domains.define(stand.definition())
    stand.domains.start(NAME)
    return stand.domains


def what_is_not_defined_is_absent(stand: Stand) -> None:
    domains = stand.domains

    assert domains.state(NAME) == "absent"
    assert domains.is_active(NAME) is False
    assert domains.vnc(NAME) is None
    assert domains.foreign(NAME) is None
    assert domains.states() == DomainStates(vms={}, foreign={})
    assert NAME not in domains.definitions()


def what_is_not_there_can_be_ended_and_forgotten(stand: Stand) -> None:
    stand.domains.stop(NAME)
    stand.domains.undefine(NAME)

    assert stand.domains.state(NAME) == "absent"


def what_is_not_there_can_be_asked_for_nothing_else(stand: Stand) -> None:
    domains = stand.domains
    verbs = (domains.start, domains.shutdown, domains.reset, domains.pause, domains.leave_to_mcv)

    for verb in verbs:
        with pytest.raises(HypervisorFailed, match=f"Could not .* {NAME}: "):
            verb(NAME)


def a_new_domain_is_stopped_and_is_kept(stand: Stand) -> None:
    domains = stand.domains
    domains.define(stand.definition())

    found = domains.definitions()[NAME]
    assert (found.persistent, found.autostart) == (True, False)
    assert substance(found.xml) == substance(stand.definition())
    assert (domains.state(NAME), domains.states().vms[NAME]) == ("stopped", "stopped")
    assert domains.is_active(NAME) is False and domains.vnc(NAME) is None


def defining_twice_is_harmless_and_the_last_word_counts(stand: Stand) -> None:
    stand.domains.define(stand.definition())
    stand.domains.define(stand.definition())

    stand.domains.define(stand.definition(memory_mib=32))

    assert substance(stand.domains.definitions()[NAME].xml).memory == 32


def what_is_no_definition_is_refused(stand: Stand) -> None:
    good = stand.definition()
    for bad in (
        "",
        "no XML",
        "<domain/>",
        good.replace(f"<name>{NAME}</name>", ""),
        good.replace(UUID, f"f{UUID}"),
    ):
        with pytest.raises(HypervisorFailed, match="Could not define a domain: "):
            stand.domains.define(bad)

    assert stand.domains.state(NAME) == "absent"


def a_name_or_a_uuid_that_is_taken_is_refused(stand: Stand) -> None:
    stand.domains.define(stand.definition())

    for name, uuid in ((NAME, OTHER_UUID), (OTHER, UUID)):
        with pytest.raises(HypervisorFailed, match=r"already .* with uuid"):
            stand.domains.define(stand.definition(name, uuid))

    assert substance(stand.domains.definitions()[NAME].xml).uuid == UUID
    assert stand.domains.state(OTHER) == "absent"


def every_domain_of_the_host_is_told(stand: Stand) -> None:
    stand.domains.define(stand.definition())
    stand.domains.define(stand.definition(OTHER, OTHER_UUID))

    assert {NAME, OTHER} == stand.domains.states().vms.keys()
    assert {NAME, OTHER} <= stand.domains.definitions().keys()


def autostart_is_told_and_taken_back(stand: Stand) -> None:
    domains = stand.domains
    domains.define(stand.definition())
    domains.leave_to_mcv(NAME)
    for take_back, what in ((domains.leave_to_mcv, NAME), (domains.define, stand.definition())):
        stand.autostart(NAME)
        assert domains.definitions()[NAME].autostart is True

        take_back(what)

        assert domains.definitions()[NAME].autostart is False


def forgetting_a_stopped_domain_is_its_end(stand: Stand) -> None:
    stand.domains.define(stand.definition())
    stand.autostart(NAME)

    stand.domains.undefine(NAME)

    assert stand.domains.state(NAME) == "absent"
    stand.domains.define(stand.definition())
    assert stand.domains.definitions()[NAME].autostart is False


def a_started_domain_runs_and_has_a_screen(stand: Stand) -> None:
    domains = _running(stand)

    domains.start(NAME)

    assert (domains.state(NAME), domains.states().vms[NAME]) == ("running", "running")
    assert domains.is_active(NAME) is True
    assert re.fullmatch(r"127\.0\.0\.1:59\d\d", domains.vnc(NAME) or "")


def a_running_domain_can_be_defined_anew_and_runs_on(stand: Stand) -> None:
    domains = _running(stand)

    domains.define(stand.definition(memory_mib=32))

    assert domains.state(NAME) == "running"
    assert substance(domains.definitions()[NAME].xml).memory == 32


def what_may_arrive_is_the_definition_and_not_what_runs(stand: Stand) -> None:
    domains = _running(stand)
    with pytest.raises(HypervisorFailed, match=rf"Could not read {OTHER}: "):
        domains.migration.expected(OTHER)

    domains.define(stand.definition(memory_mib=32))

    assert substance(domains.migration.expected(NAME)).memory == 32
    assert substance(domains.xml(NAME)).memory == 16


def forgetting_a_running_domain_leaves_it_running_until_it_ends(stand: Stand) -> None:
    domains = _running(stand)

    domains.undefine(NAME)
    domains.undefine(NAME)

    assert domains.state(NAME) == "running"
    found = domains.definitions()[NAME]
    assert (found.persistent, found.autostart) == (False, False)
    assert substance(found.xml).uuid == UUID
    domains.stop(NAME)
    assert domains.state(NAME) == "absent"


def a_start_that_fails_is_told_and_leaves_it_stopped(stand: Stand) -> None:
    stand.domains.define(stand.definition())
    stand.spoil(NAME)

    with pytest.raises(HypervisorFailed, match=f"Could not start {NAME}: "):
        stand.domains.start(NAME)

    assert stand.domains.state(NAME) == "stopped"


def stopping_twice_is_harmless(stand: Stand) -> None:
    domains = _running(stand)

    for _ in range(2):
        domains.stop(NAME)
        assert (domains.state(NAME), domains.is_active(NAME)) == ("stopped", False)


def a_domain_whose_process_was_killed_has_crashed_until_it_starts_again(stand: Stand) -> None:
    domains = _running(stand)
    assert domains.has_crashed(NAME) is False

    stand.kill(NAME)

    eventually(lambda: not domains.is_active(NAME))
    assert domains.has_crashed(NAME) is True
    domains.start(NAME)
    assert domains.has_crashed(NAME) is False
    domains.stop(NAME)
    assert domains.has_crashed(NAME) is False


def what_never_ran_or_is_not_there_has_not_crashed(stand: Stand) -> None:
    assert stand.domains.has_crashed(NAME) is False
    stand.domains.define(stand.definition())

    assert stand.domains.has_crashed(NAME) is False


def a_guest_that_heeds_the_power_button_ends(stand: Stand) -> None:
    domains = _running(stand)

    def has_ended() -> bool:
        # Again and again: the guest may not have booted far enough to hear it.
        domains.shutdown(NAME)
        return not domains.is_active(NAME)

    eventually(has_ended)

    domains.shutdown(NAME)
    assert domains.state(NAME) == "stopped"


def a_guest_that_heeds_the_power_button_reboots_and_that_is_told(stand: Stand) -> None:
    domains = _running(stand)

    def has_reset() -> bool:
        domains.resets.reboot(NAME)
        return next(looks)

    with domains.resets.watched(NAME) as looks:
        assert next(looks) is False
        eventually(has_reset)

    assert domains.state(NAME) == "running"


def a_reset_is_told_to_who_watches_since(stand: Stand) -> None:
    domains = _running(stand)
    with domains.resets.watched(NAME) as looks:
        domains.reset(NAME)
        eventually(lambda: next(looks))

    with domains.resets.watched(NAME) as looks:
        assert next(looks) is False


def what_does_not_run_cannot_be_asked_to_reboot(stand: Stand) -> None:
    stand.domains.define(stand.definition())

    for name in (NAME, OTHER):
        with pytest.raises(HypervisorFailed, match=f"Could not reboot {name}: "):
            stand.domains.resets.reboot(name)


def a_reset_keeps_it_running(stand: Stand) -> None:
    domains = _running(stand)

    domains.reset(NAME)

    assert domains.state(NAME) == "running"


def a_paused_domain_stands_still_and_is_active(stand: Stand) -> None:
    domains = _running(stand)

    domains.pause(NAME)
    domains.pause(NAME)
    domains.start(NAME)

    assert (domains.state(NAME), domains.is_active(NAME)) == ("paused", True)
    assert domains.states().vms[NAME] == "paused"
    domains.stop(NAME)
    assert domains.state(NAME) == "stopped"


def what_does_not_run_cannot_be_paused_or_reset(stand: Stand) -> None:
    domains = stand.domains
    domains.define(stand.definition())

    for verb in (domains.pause, domains.reset):
        with pytest.raises(HypervisorFailed, match=f"Could not .* {NAME}: .*not running"):
            verb(NAME)

    assert domains.state(NAME) == "stopped"


def the_host_tells_what_it_can_run(stand: Stand) -> None:
    can = stand.domains.capabilities()

    assert can.domain_type in can.emulators
    assert can.emulator.startswith("/")


def a_domain_of_the_name_that_is_not_mcvs_is_foreign_and_left_alone(stand: Stand) -> None:
    domains = stand.domains
    stand.define_as_others_do(unmarked(stand.definition(uuid=NOBODYS_UUID)))
    stand.start_as_others_do(NAME)
    foreign = ForeignDomain(name=NAME, state="running", marked=False)

    assert (domains.state(NAME), domains.is_active(NAME)) == ("foreign", False)
    assert domains.vnc(NAME) is None
    assert domains.foreign(NAME) == foreign
    assert domains.states() == DomainStates(vms={}, foreign={NAME: foreign})
    domains.stop(NAME)
    domains.undefine(NAME)
    for verb in _verbs(domains):
        with pytest.raises(HypervisorFailed, match=f"the domain {NAME} is not mcv's"):
            verb(NAME)
    with pytest.raises(HypervisorFailed, match=r"already .* with uuid"):
        domains.define(stand.definition())

    assert stand.raw_state(NAME) == "running"
    assert domains.definitions()[NAME].persistent


def a_domain_of_the_uuid_without_the_mark_is_foreign_and_left_alone(stand: Stand) -> None:
    domains = stand.domains
    stand.define_as_others_do(unmarked(stand.definition()))
    foreign = ForeignDomain(name=NAME, state="stopped", marked=False)

    assert domains.state(NAME) == "foreign"
    assert domains.states() == DomainStates(vms={}, foreign={NAME: foreign})
    domains.undefine(NAME)
    for verb in _verbs(domains):
        with pytest.raises(HypervisorFailed, match=f"the domain {NAME} is not mcv's"):
            verb(NAME)
    with pytest.raises(HypervisorFailed, match="is not mcv's"):
        domains.define(stand.definition())

    assert stand.raw_state(NAME) == "stopped"


def _verbs(domains: Hypervisor) -> list[Callable[[str], object]]:
    return [
        domains.start,
        domains.shutdown,
        domains.reset,
        domains.pause,
        domains.resume,
        domains.xml,
        domains.leave_to_mcv,
        domains.undefine_leftover,
    ]


def a_domain_of_a_former_vm_is_foreign_and_can_be_forgotten_as_left_over(stand: Stand) -> None:
    domains = stand.domains
    stand.define_as_others_do(stand.definition(uuid=NOBODYS_UUID))
    foreign = ForeignDomain(name=NAME, state="stopped", marked=True)

    domains.undefine(NAME)

    assert (domains.state(NAME), domains.foreign(NAME)) == ("foreign", foreign)
    domains.undefine_leftover(NAME)
    assert (domains.state(NAME), stand.raw_state(NAME)) == ("absent", "absent")


def a_vms_own_domain_is_not_left_over(stand: Stand) -> None:
    stand.domains.define(stand.definition())

    with pytest.raises(HypervisorFailed, match="it is not left over"):
        stand.domains.undefine_leftover(NAME)

    assert stand.domains.state(NAME) == "stopped"


def a_vms_domain_of_another_name_is_the_vms(stand: Stand) -> None:
    domains = stand.domains
    stand.define_as_others_do(stand.definition("renamed"))

    assert (domains.state(NAME), domains.states().vms) == ("stopped", {NAME: "stopped"})
    domains.undefine(NAME)
    assert stand.raw_state("renamed") == "absent"


def a_vm_that_was_renamed_is_defined_by_its_name_and_its_former_domain_is_gone(
    stand: Stand,
) -> None:
    domains = stand.domains
    stand.define_as_others_do(stand.definition("renamed"))

    domains.define(stand.definition())

    assert (domains.state(NAME), stand.raw_state("renamed")) == ("stopped", "absent")


def what_runs_by_its_former_name_is_not_defined_anew(stand: Stand) -> None:
    domains = stand.domains
    stand.define_as_others_do(stand.definition("renamed"))
    stand.start_as_others_do("renamed")

    with pytest.raises(HypervisorFailed, match=f"Could not define {NAME}: it is running as"):
        domains.define(stand.definition())

    assert (domains.state(NAME), stand.raw_state("renamed")) == ("running", "running")


def _saved(stand: Stand, incarnation: int = 0) -> Hypervisor:
    domains = _running(stand)
    marked = stand.definition().replace('incarnation="0"', f'incarnation="{incarnation}"')
    domains.define(marked)
    stand.save(NAME)
    return domains


def what_is_saved_goes_on_at_the_next_start(stand: Stand) -> None:
    domains = _saved(stand)

    assert (domains.state(NAME), domains.states().vms[NAME]) == ("saved", "saved")
    assert domains.is_active(NAME) is False
    assert domains.definitions()[NAME].state == "saved"
    domains.start(NAME)
    assert domains.state(NAME) == "running"
    assert domains.saved.of(NAME) is None and domains.saved.all() == {}


def saved_memory_tells_which_mark_its_domain_had_at_last(stand: Stand) -> None:
    saved = _saved(stand, incarnation=3).saved

    assert saved.of(NAME) == saved.all()[NAME] == SavedState(incarnation=3)
    assert saved.of(OTHER) is None


def saved_memory_can_be_given_up(stand: Stand) -> None:
    domains = _saved(stand)

    domains.saved.discard(NAME)
    domains.saved.discard(NAME)

    assert domains.state(NAME) == "stopped" and domains.saved.of(NAME) is None
    domains.saved.discard(OTHER)


WATCHDOG = "<devices><watchdog model='i6300esb' action='reset'/>"


def a_trial_of_what_libvirt_takes_leaves_nothing(stand: Stand) -> None:
    stand.domains.define(stand.definition())
    before = stand.domains.definitions()

    assert stand.domains.trials.why_not(stand.definition()) == ""
    assert stand.domains.trials.why_not(stand.definition().replace("<devices>", WATCHDOG)) == ""

    assert stand.domains.definitions() == before


def a_trial_of_what_libvirt_does_not_take_says_why_and_leaves_nothing(stand: Stand) -> None:
    odd = stand.definition().replace("<devices>", "<devices><nonsense/>")

    assert len(stand.domains.trials.why_not(odd).splitlines()) == 1

    assert stand.domains.trials.remove_left() == []
    assert stand.raw_state(NAME) == "absent"


def a_trial_that_was_left_is_removed(stand: Stand) -> None:
    left = f"{PREFIX}left"
    stand.define_as_others_do(stand.definition(left, NOBODYS_UUID))

    assert stand.domains.trials.remove_left() == [left]

    assert stand.raw_state(left) == "absent"
