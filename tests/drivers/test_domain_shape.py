"""In what a domain that runs differs from what it would be started as."""

import pytest
from msgspec.structs import replace

from mcv.document.hardware import Cpu
from mcv.document.model import Vm
from mcv.document.networks import Nic
from mcv.drivers.domain_shape import differences, shape
from tests.drivers.test_domain_xml import new_vm, xml

MIB = 1024**2
MAC = "52:54:00:01:02:03"
# As QEMU's libvirt gives a running domain back, and what it adds of its own.
LIVE = """
<domain type='kvm' id='1'>
  <metadata><mcv:vm xmlns:mcv="urn:mcv:vm:1" incarnation="0" cpu=""/></metadata>
  <memory unit='KiB'>524288</memory>
  <currentMemory unit='KiB'>524288</currentMemory>
  <vcpu placement='static' current='2'>4</vcpu>
  <vcpus><vcpu id='0' enabled='yes' hotpluggable='no' order='1'/></vcpus>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <cpu mode='custom' match='exact' check='full'><model fallback='forbid'>Haswell</model></cpu>
  <clock offset='utc'/>
  <cputune><global_period>100000</global_period><global_quota>-1</global_quota></cputune>
  <devices>
    <disk type='block' device='disk'>
      <driver name='qemu' type='raw' cache='none' io='native'/>
      <source dev='/dev/drbd100' index='2'/><target dev='vda' bus='virtio'/><boot order='1'/>
    </disk>
    <disk type='block' device='disk'>
      <driver name='qemu' type='raw' cache='none' io='native'/>
      <source dev='/dev/drbd101'/><target dev='vdb' bus='virtio'/><boot order='2'/>
    </disk>
    <disk type='file' device='cdrom'>
      <driver name='qemu'/><target dev='sdzz' bus='sata'/><readonly/><boot order='3'/>
    </disk>
    <interface type='bridge'>
      <mac address='52:54:00:01:02:03'/><source bridge='br0'/><target dev='vnet0'/>
      <model type='virtio'/>
    </interface>
    <graphics type='vnc' port='5900' autoport='yes' listen='127.0.0.1'/>
    <video><model type='vga' vram='16384' heads='1' primary='yes'/></video>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""


def told(vm: Vm, live: str = LIVE) -> list[tuple[str, bool]]:
    found = differences(shape(live), shape(xml(vm).replace("/var/lib/mcv/images/debian", "")))
    return [(difference.text, difference.is_live) for difference in found]


def test_what_libvirt_adds_of_its_own_is_no_difference() -> None:
    assert told(new_vm()) == []


@pytest.mark.parametrize(
    ("values", "text", "is_live"),
    [
        ({"memory": 256 * MIB}, "memory 256MiB (its guest has 512MiB)", True),
        (
            {"memory": 1024 * MIB},
            "memory 1GiB (its guest has 512MiB, and began with 512MiB)",
            False,
        ),
        ({"cpus": 4}, "4 CPUs (it runs with 2)", True),
        ({"cpus": 5}, "5 CPUs (it runs with 2)", False),
        ({"cpus": 1}, "1 CPU (it runs with 2)", False),
        ({"cpu": Cpu(model="Nehalem")}, "processor Nehalem (it runs with none)", False),
        ({"cpu": Cpu(model="host-model")}, "processor host-model (it runs with none)", False),
        (
            {"boot": ("cd", "disk")},
            "boot order sdzz, vda, vdb (it runs with vda, vdb, sdzz)",
            False,
        ),
        ({"boot": ("disk", "net")}, f"boot order vda, vdb, {MAC} (it runs with vda, vdb, sdzz)", 0),
    ],
)
def test_a_difference_is_told_and_whether_libvirt_can_end_it(
    values: dict[str, object], text: str, is_live: bool
) -> None:
    assert told(new_vm(**values)) == [(text, is_live)]


def test_memory_that_the_guest_gave_back_is_no_difference() -> None:
    given_back = LIVE.replace(
        "<currentMemory unit='KiB'>524288", "<currentMemory unit='KiB'>262144"
    )

    assert told(new_vm(memory=256 * MIB), given_back) == []
    assert told(new_vm(), given_back) == [("memory 512MiB (its guest has 256MiB)", True)]


def test_a_disk_that_was_plugged_in_is_in_no_order_of_booting_until_the_next_start() -> None:
    plugged = LIVE.replace("<boot order='2'/>", "").replace(
        "<boot order='3'/>", "<boot order='2'/>"
    )

    assert told(new_vm(), plugged) == []


def test_limits_and_caches_of_disks_are_compared() -> None:
    disk, other = new_vm().disks
    slow = replace(disk, iops=100, bandwidth=MIB)

    assert told(new_vm(disks=(slow, replace(other, discard=True)))) == [
        ("limit of disk vda: 100 iops, 1MiB/s (now none)", True),
        (
            "disk vdb cache none, discard yes (it runs with cache none, discard no)",
            False,
        ),
    ]


def test_a_card_that_was_pulled_down_is_told() -> None:
    down = LIVE.replace(
        "<model type='virtio'/>\n    </interface>",
        "<link state='down'/><model type='virtio'/></interface>",
    )

    assert told(new_vm(), down) == [
        (f"card {MAC} virtio on br0, link up (it runs with virtio on br0, link down)", False)
    ]


def test_a_card_that_waits_for_its_mtu_or_for_its_guest_to_let_go_is_told() -> None:
    wide = LIVE.replace(
        "<model type='virtio'/>\n    </interface>",
        "<mtu size='9000'/><model type='virtio'/></interface>",
    )

    assert told(new_vm(), wide) == [
        (
            f"card {MAC} virtio on br0, link up (it runs with virtio on br0, MTU 9000, link up)",
            False,
        )
    ]
    assert told(new_vm(nics=()), LIVE) == [
        (f"no card {MAC} (its guest has not let go of it)", False)
    ]
    more = (*new_vm().nics, Nic(network="lan", mac="52:54:00:00:00:09", model="e1000"))
    assert told(new_vm(nics=more), LIVE) == [
        ("card 52:54:00:00:00:09 e1000 on br0, link up (it runs with none)", False)
    ]


@pytest.mark.parametrize("asked", [None, Cpu(model="Haswell"), Cpu(model="host-model")])
def test_the_processor_of_a_domain_without_its_mark_is_judged_by_its_model(
    asked: Cpu | None,
) -> None:
    unmarked = LIVE.replace(' cpu=""', "")

    assert told(new_vm(cpu=asked), unmarked) == []
    assert told(new_vm(cpu=Cpu(model="Nehalem")), unmarked) == [
        ("processor Nehalem (it runs with Haswell)", False)
    ]


def test_a_limit_of_the_cpu_is_in_percent_of_one() -> None:
    half = LIVE.replace("<global_quota>-1", "<global_quota>50000")

    assert shape(half).cpu_limit == 50
    assert told(new_vm(), half) == [("CPU limit none (now 50 % of one CPU)", True)]
