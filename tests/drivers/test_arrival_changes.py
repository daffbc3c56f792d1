"""What an arrival may have otherwise than its definition, and what hides behind the same names."""

import pytest

from mcv.drivers.domain_arrival import Unexpected, require_expected

EXPECTED = """<domain type='kvm'><name>web1</name><uuid>1</uuid><vcpu>4</vcpu>
<clock offset='utc'/><devices><graphics type='vnc'/>
<video><model type='vga' vram='16384'/></video></devices></domain>"""


def changed(old: str, new: str) -> str:
    assert old in EXPECTED
    return EXPECTED.replace(old, new)


@pytest.mark.parametrize(
    "arriving",
    [
        changed("<vcpu>", "<vcpu current='2'>"),
        changed("<clock", "<vcpus><vcpu id='0' enabled='yes' order='1'/></vcpus><clock"),
        changed("<clock", "<cputune><global_quota>-1</global_quota></cputune><clock"),
        changed("offset='utc'", "offset='timezone' timezone='Europe/Berlin'"),
        changed("type='vnc'", "type='vnc' keymap='de-ch'"),
        changed("type='vga' vram='16384'", "type='virtio' heads='1' primary='yes'"),
        changed("<video>", "<watchdog model='i6300esb' action='reset'/><video>"),
        changed(
            "<video>",
            "<controller type='pci' index='17' model='pcie-to-pci-bridge'>"
            "<model name='pcie-pci-bridge'/><address type='pci' bus='0x10'/></controller><video>",
        ),
    ],
)
def test_what_an_update_changes_later_arrives(arriving: str) -> None:
    require_expected(arriving, EXPECTED)


@pytest.mark.parametrize(
    "arriving",
    [
        changed("<vcpu>", "<vcpu current='2,x'>"),
        changed("<vcpu>", "<vcpu cpuset='0'>"),
        changed("<clock", "<vcpus><vcpu id='0' path='a'/></vcpus><clock"),
        changed("<clock", "<vcpus><vcpu id='0'><source/></vcpu></vcpus><clock"),
        changed("<clock", "<cputune><emulatorpin cpuset='0'/></cputune><clock"),
        changed("<clock", "<cputune><global_quota>a</global_quota></cputune><clock"),
        changed("offset='utc'", "offset='timezone' timezone='../../etc/passwd'"),
        changed("<clock offset='utc'/>", "<clock offset='utc'><timer name='rtc'/></clock>"),
        changed("type='vnc'", "type='vnc' keymap='de,x=y'"),
        changed("type='vnc'", "type='vnc' passwd='de'"),
        changed("type='vga'", "type='vga,id=x'"),
        changed("<model type='vga' vram='16384'/>", "<model type='vga'/><driver vgaconf='on'/>"),
        changed("<video>", "<watchdog model='diag288' action='reset'/><video>"),
        changed("<video>", "<watchdog model='i6300esb' action='run'/><video>"),
        changed("<video>", "<controller type='pci' index='1' model='vhost-user'/><video>"),
        changed(
            "<video>",
            "<controller type='pci' index='1' model='pcie-root-port'><source/></controller><video>",
        ),
    ],
)
def test_nothing_else_comes_by_the_same_names(arriving: str) -> None:
    with pytest.raises(Unexpected):
        require_expected(arriving, EXPECTED)
