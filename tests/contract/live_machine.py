"""What operations may rely on in the memory, the CPUs and the limits of a domain that runs.

Its guest has no driver of the balloon: it gives no memory back, and nothing says that it failed.
"""

import pytest

from mcv.drivers.domain_shape import Shape, shape
from mcv.drivers.libvirt import Hypervisor
from mcv.errors import HypervisorFailed
from tests.contract.domains import NAME, OTHER
from tests.contract.live_disks import Stand

MIB = 1024**2


def _running(stand: Stand) -> Hypervisor:
    spare = stand.definition().replace("<vcpu>1</vcpu>", '<vcpu current="1">3</vcpu>')
    stand.domains.define(spare)
    stand.domains.start(NAME)
    return stand.domains


def _live(domains: Hypervisor) -> Shape:
    return shape(domains.xml(NAME))


def cpus_are_plugged_in_up_to_the_most_it_began_with(stand: Stand) -> None:
    domains = _running(stand)

    for _ in range(2):
        domains.machine.set_cpus(NAME, 2)
        assert _live(domains).cpus == 2
    domains.machine.set_cpus(NAME, 1)
    assert _live(domains).cpus == 2
    with pytest.raises(HypervisorFailed, match=f"Could not give CPUs to {NAME}"):
        domains.machine.set_cpus(NAME, 4)
    assert shape(domains.definitions()[NAME].xml).cpus == 1


def a_guest_without_a_driver_keeps_its_memory(stand: Stand) -> None:
    domains = _running(stand)
    most = _live(domains).most_memory

    domains.machine.set_memory(NAME, (most - 4) * MIB)

    assert (_live(domains).memory, _live(domains).most_memory) == (most, most)
    with pytest.raises(HypervisorFailed, match=f"Could not change the memory of {NAME}"):
        domains.machine.set_memory(NAME, (most + 4) * MIB)


def what_does_not_run_is_not_changed(stand: Stand) -> None:
    stand.domains.define(stand.definition())

    for name in (NAME, OTHER):
        with pytest.raises(HypervisorFailed, match=name):
            stand.domains.machine.set_cpus(name, 2)
