"""What operations may rely on in the disks of a domain that runs.

The guest has no driver: it is asked to let go of a disk, and does not.
"""

import xml.etree.ElementTree as ET
from typing import Protocol

import pytest

from mcv.drivers.domain_xml import CD, cd_element
from mcv.drivers.libvirt import Hypervisor
from mcv.drivers.libvirt_devices import medium_in, targets_in
from mcv.errors import HypervisorFailed
from tests.contract.domains import NAME, OTHER

MIB = 1024**2


class Stand(Protocol):
    """A host's libvirt with the domain NAME, whose one disk is vda; and a disk for it."""

    domains: Hypervisor

    def definition(self) -> str:
        """The XML of a domain whose guest has no driver for what is plugged in or out."""

    def disk(self, target: str) -> str:
        """The XML of another disk, a raw file of 1 MiB."""


def _running(stand: Stand) -> Hypervisor:
    stand.domains.define(stand.definition())
    stand.domains.start(NAME)
    return stand.domains


def what_does_not_run_has_no_disk(stand: Stand) -> None:
    assert stand.domains.disks.targets(NAME) == []
    stand.domains.define(stand.definition())

    assert stand.domains.disks.targets(NAME) == []
    assert stand.domains.disks.detach(NAME, "vdb") is True
    assert stand.domains.disks.detach(OTHER, "vdb") is True


def a_disk_is_plugged_into_what_runs_and_not_into_its_definition(stand: Stand) -> None:
    domains = _running(stand)

    for _ in range(2):
        domains.disks.attach(NAME, "vdb", stand.disk("vdb"), {})

        assert domains.disks.targets(NAME) == ["vda", "vdb"]
    assert targets_in(domains.definitions()[NAME].xml) == ["vda"]
    domains.stop(NAME)
    domains.start(NAME)
    assert domains.disks.targets(NAME) == ["vda"]


def a_scsi_disk_brings_its_controller(stand: Stand) -> None:
    domains = _running(stand)
    controller = '<controller type="scsi" index="0" model="virtio-scsi"/>'

    domains.disks.attach(NAME, "sdb", stand.disk("sdb"), {"scsi 0": controller})
    domains.disks.attach(NAME, "sdc", stand.disk("sdc"), {"scsi 0": controller})

    assert sorted(domains.disks.targets(NAME)) == ["sdb", "sdc", "vda"]
    live = domains.xml(NAME)
    assert "virtio-scsi" in live and "lsilogic" not in live


def a_guest_without_a_driver_keeps_its_disk(stand: Stand) -> None:
    domains = _running(stand)
    domains.disks.attach(NAME, "vdb", stand.disk("vdb"), {})

    for _ in range(2):
        assert domains.disks.detach(NAME, "vdb", patience=1.0) is False
        assert domains.disks.targets(NAME) == ["vda", "vdb"]


def a_disk_grows_for_its_guest_and_does_not_shrink(stand: Stand) -> None:
    domains = _running(stand)
    domains.disks.attach(NAME, "vdb", stand.disk("vdb"), {})

    for size in (80 * MIB, 80 * MIB, 70 * MIB):
        domains.disks.resize(NAME, "vdb", size)

        assert domains.disks.capacity(NAME, "vdb") == 80 * MIB


def limits_count_at_once_and_can_be_lifted(stand: Stand) -> None:
    domains = _running(stand)

    assert domains.disks.limits(NAME, "vda") == (0, 0)
    domains.disks.throttle(NAME, "vda", 100, MIB)
    assert domains.disks.limits(NAME, "vda") == (100, MIB)
    domains.disks.throttle(NAME, "vda", 0, 0)
    assert domains.disks.limits(NAME, "vda") == (0, 0)


def a_cd_is_changed_in_what_runs_and_not_in_its_definition(stand: Stand) -> None:
    drive = ET.tostring(cd_element("", {}), encoding="unicode")
    definition = stand.definition().replace("</devices>", f"{drive}</devices>")
    source = ET.fromstring(stand.disk("vdb")).find("source")
    assert source is not None
    cd, domains = source.get("file", ""), stand.domains
    domains.define(definition)
    assert domains.disks.medium(NAME, CD) is None
    domains.start(NAME)

    for path in (cd, cd, "", "", cd):
        domains.disks.change_medium(NAME, CD, path)

        assert domains.disks.medium(NAME, CD) == path
    assert domains.disks.medium(NAME, "vda") is None
    assert medium_in(domains.definitions()[NAME].xml, CD) == ""


def a_disk_that_is_not_there_is_told(stand: Stand) -> None:
    domains = _running(stand)

    for ask in (
        lambda: domains.disks.capacity(NAME, "vdz"),
        lambda: domains.disks.resize(NAME, "vdz", MIB),
        lambda: domains.disks.throttle(NAME, "vdz", 1, 1),
    ):
        with pytest.raises(HypervisorFailed, match=f"Could not .* disk vdz of {NAME}: "):
            ask()
