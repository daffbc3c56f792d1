"""What no overlay may touch, however it is spelled; all of it is told at once."""

import pytest

from mcv.document import overlays
from mcv.document.model import Cluster
from mcv.document.networks import Nic
from mcv.rules import overlay, tied
from tests.documents import document, vm

MAC = "52:54:00:00:00:01"
QEMU = overlays.QEMU

# (story, what stands in <domain>, words of the refusal)
REFUSED = [
    ("the name", "<name>web2</name>", "<name> of web1"),
    ("the UUID", "<uuid>1</uuid>", "<uuid> of web1"),
    ("the mark", "<metadata><x/></metadata>", "<metadata> of web1"),
    ("memory", "<memory unit='GiB'>9</memory>", "<memory> of web1"),
    ("current memory", "<currentMemory>9</currentMemory>", "<currentMemory> of web1"),
    ("memory to come", "<maxMemory slots='9'>9</maxMemory>", "<maxMemory> of web1"),
    ("CPUs", "<vcpu>9</vcpu>", "<vcpu> of web1"),
    ("each CPU", "<vcpus><vcpu id='0' enabled='no'/></vcpus>", "<vcpus> of web1"),
    ("its label", "<seclabel type='none'/>", "<seclabel> of web1"),
    ("its end", "<on_poweroff>restart</on_poweroff>", "<on_poweroff> of web1"),
    ("its crash", "<on_crash>preserve</on_crash>", "<on_crash> of web1"),
    ("the processor", "<cpu mode='host-passthrough'/>", "cpu/mode of web1"),
    ("its model", "<cpu><model>Haswell</model></cpu>", "<cpu/model> of web1"),
    ("the machine", "<os><type machine='pc'>hvm</type></os>", "<os/type> of web1"),
    ("the firmware", "<os firmware='efi'/>", "os/firmware of web1"),
    ("its file", "<os><loader>/x</loader></os>", "<os/loader> of web1"),
    ("its variables", "<os><nvram>/x</nvram></os>", "<os/nvram> of web1"),
    ("the kernel", "<os><kernel>/x</kernel></os>", "<os/kernel> of web1"),
    ("its initrd", "<os><initrd>/x</initrd></os>", "<os/initrd> of web1"),
    ("its words", "<os><cmdline>x</cmdline></os>", "<os/cmdline> of web1"),
    ("the emulator", "<devices><emulator>/x</emulator></devices>", "<devices/emulator> of web1"),
    ("a disk", "<devices><disk type='file'/></devices>", "<devices/disk> of web1"),
    ("a disk in a second part", "<devices/><devices><disk/></devices>", "<devices/disk> of web1"),
    ("a NIC of mcv", f"<devices><interface><mac address='{MAC}'/></interface></devices>",
     f"The NIC {MAC} of web1"),
    ("in capitals", "<devices><interface><mac address='52:54:00:0a:00:0B'/></interface></devices>",
     "The NIC 52:54:00:0a:00:0b of web1"),
    ("by references", "<devices><interface><mac address='52&#58;54&#x3a;00:00:00:01'/></interface>"
     "</devices>", f"The NIC {MAC} of web1"),
    ("a NIC without a MAC", "<devices><interface type='user'/></devices>", "has no <mac"),
    ("a MAC that is none", "<devices><interface><mac address='52:54:0:0:0:1'/></interface>"
     "</devices>", "has no <mac"),
    ("two MACs", f"<devices><interface><mac address='52:54:00:00:00:99'/><mac address='{MAC}'/>"
     "</interface></devices>", "several <mac>"),
    ("another's MAC", "<devices><interface><mac address='52:54:00:00:00:02'/></interface>"
     "</devices>", "52:54:00:00:00:02 is db1's"),
    ("a MAC of another's overlay", "<devices><interface><mac address='52:54:00:00:00:03'/>"
     "</interface></devices>", "52:54:00:00:00:03 is db1's"),
    ("a MAC twice", "<devices><interface><mac address='52:54:00:00:00:09'/></interface><interface>"
     "<mac address='52:54:00:00:00:09'/></interface></devices>", "52:54:00:00:00:09 twice"),
    ("the agent", "<devices><channel><target type='virtio' name='org.qemu.guest_agent.0'/>"
     "</channel></devices>", "agent's channel of web1"),
    ("the serial port", "<devices><serial type='tcp'/></devices>", "first serial port"),
    ("by number", "<devices><serial><target port='00'/></serial></devices>", "first serial port"),
    ("the console", "<devices><console type='pty'/></devices>", "serial console of web1"),
    ("the screen", "<devices><graphics type='vnc' listen='0.0.0.0'/></devices>", "The screen"),
    ("a password", "<devices><graphics type='spice' passwd='x'/></devices>", "passwd"),
    ("another namespace", "<x:uuid xmlns:x='urn:x'>1</x:uuid>", "namespace"),
    ("an attribute of one", "<title xmlns:x='urn:x' x:a='1'/>", "namespace"),
    ("QEMU's words in the wrong place", f"<devices xmlns:q='{QEMU}'><q:commandline/></devices>",
     "right below <domain>"),
]  # fmt: skip

TAKEN = [
    "<devices><watchdog model='i6300esb' action='reset'/></devices>",
    "<devices><interface type='user'><mac address='52:54:00:00:00:44'/></interface></devices>",
    "<devices><serial type='pty'><target port='1'/></serial></devices>",
    "<devices><console type='pty'><target type='virtio' port='1'/></console></devices>",
    "<devices><channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>"
    "</devices>",
    "<cpu><topology sockets='1' cores='2' threads='1'/></cpu>",
    "<features><hyperv mode='custom'><relaxed state='on'/></hyperv></features>",
    "<on_reboot>destroy</on_reboot>",
    f"<q:commandline xmlns:q='{QEMU}'><q:arg value='-no-hpet'/></q:commandline>",
    f"<q:commandline xmlns:q='{QEMU.replace(':', '&#58;')}'><q:arg value='-a'/></q:commandline>",
]


def the_document() -> Cluster:
    """web1 has two NICs; db1 has one, and one by its overlay."""
    theirs = (
        "<domain><devices><interface><mac address='52:54:00:00:00:03'/></interface></devices>"
        "</domain>"
    )
    nics = (Nic(network="lan", mac=MAC), Nic(network="lan", mac="52:54:00:0A:00:0b"))
    cluster = document().with_vm(vm("web1", nics=nics))
    return cluster.with_vm(
        vm("db1", nics=(Nic(network="lan", mac="52:54:00:00:00:02"),), overlay=theirs, disks=())
    )


@pytest.mark.parametrize(("story", "inside", "words"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_mcvs_is_no_overlays(story: str, inside: str, words: str) -> None:
    cluster = the_document()

    problems = overlay.problems(cluster, cluster.vm("web1"), f"<domain>{inside}</domain>")

    assert words in " ".join(problem.message for problem in problems)


@pytest.mark.parametrize("attribute", ["type='qemu'", "id='1'"])
def test_what_kind_of_domain_it_is_is_mcvs(attribute: str) -> None:
    cluster = the_document()

    (problem,) = overlay.problems(cluster, cluster.vm("web1"), f"<domain {attribute}/>")

    assert attribute.partition("=")[0] in problem.message


@pytest.mark.parametrize("inside", TAKEN)
def test_what_is_not_mcvs_is_taken(inside: str) -> None:
    cluster = the_document()

    assert overlay.problems(cluster, cluster.vm("web1"), f"<domain>{inside}</domain>") == []


def test_everything_is_told_at_once() -> None:
    cluster = the_document()
    text = "<domain type='x'><name>a</name><uuid/><devices><disk/><emulator/></devices></domain>"

    problems = overlay.problems(cluster, cluster.vm("web1"), text)

    assert len(problems) == 5


# What ties a VM to its host: (story, what stands in <domain>, words of the reason)
TYING = [
    ("a device", "<devices><hostdev mode='subsystem' type='usb'/></devices>", "<hostdev>"),
    ("a path", "<devices><filesystem type='mount'><source dir='/srv/x'/><target dir='x'/>"
     "</filesystem></devices>", "/srv/x"),
    ("a path as text", "<devices><rng model='virtio'><backend>/dev/hwrng</backend></rng></devices>",
     "/dev/hwrng"),
    ("a path with blanks", "<devices><tpm><backend type='passthrough'><device path=' /dev/tpm0'/>"
     "</backend></tpm></devices>", "/dev/tpm0"),
    ("a TPM's state", "<devices><tpm model='tpm-crb'><backend type='emulator'/></tpm></devices>",
     "TPM"),
    ("a NIC of the host", "<devices><interface type='direct'><mac address='52:54:00:00:00:77'/>"
     "<source dev='eth0'/></interface></devices>", "type='direct'"),
    ("QEMU's words", f"<q:commandline xmlns:q='{QEMU}'><q:arg value='-a'/></q:commandline>",
     "<qemu:commandline>"),
    ("by references", f"<q:commandline xmlns:q='{QEMU.replace(':', '&#58;')}'/>",
     "<qemu:commandline>"),
    ("shared memory", "<devices><shmem name='x'/></devices>", "<shmem>"),
]  # fmt: skip

FREE = [
    "<devices><watchdog model='i6300esb'/></devices>",
    "<devices><rng model='virtio'><backend model='random'>/dev/random</backend></rng></devices>",
    "<devices><interface type='bridge'><mac address='52:54:00:00:00:77'/><source bridge='br'/>"
    "</interface></devices>",
    "<title>/srv</title>",
]


@pytest.mark.parametrize(("story", "inside", "words"), TYING, ids=[row[0] for row in TYING])
def test_what_is_of_one_host_ties_the_vm_to_it(story: str, inside: str, words: str) -> None:
    web1 = vm(overlay=f"<domain>{inside}</domain>")

    (problem,) = tied.why_not_move(web1)

    assert problem.message.startswith("web1 is tied to n1: its overlay gives it")
    assert words in problem.message and problem.hint == "mcv edit web1"
    assert tied.nodes(web1) == ("n1",)


@pytest.mark.parametrize("inside", FREE)
def test_what_is_on_every_host_ties_to_none(inside: str) -> None:
    web1 = vm(overlay=f"<domain>{inside}</domain>")

    assert tied.why_not_move(web1) == [] and tied.finding(web1) is None
    assert tied.nodes(web1) == ("n1", "n2")


def test_an_overlay_that_cannot_be_judged_ties() -> None:
    (problem,) = tied.why_not_move(vm(overlay="<domain>"))

    assert "cannot be judged" in problem.message
