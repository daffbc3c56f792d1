"""A first VM, on a host that has neither a volume group nor DRBD to speak of."""

import base64
import re

import pytest

from mcv.drivers.firmware import SIZE, VARIABLES
from tests.lab import Node, guests, wait_until
from tests.lab.cluster import mcv, told
from tests.lab.linux_guest import CALLED, GOODBYE, LETS_IN, TOLD, UP
from tests.lab.linux_guest import SIZE as GUEST_SIZE

MIB = 1024**2
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ me@here"
USER_DATA = "#cloud-config\npassword: correct-horse\n"
LOG = "/var/log/libvirt/console/web1.log"


def test_a_host_alone_creates_and_starts_a_vm_from_an_image(strangers: list[Node]) -> None:
    node, _ = strangers
    node.put(guests.linux(), "/root/debian.raw")
    node.run("qemu-img convert -O qcow2 /root/debian.raw /root/debian.qcow2")

    node.put(f"{KEY}\n", "/root/key.pub")
    node.put(USER_DATA, "/root/user-data")

    created = mcv(
        node,
        "create web1 --memory 128MiB --image /root/debian.qcow2 --hostname www.example.org "
        "--ssh-key /root/key.pub --cloud-init /root/user-data --start",
    )

    assert created.stdout == "web1 is created on node1 and runs.\n"
    wait_until(lambda: UP in console(node), 150, "the guest to be up")
    said = console(node)
    assert f"{CALLED} www.example.org." in said and f"{LETS_IN} {KEY}" in said
    assert f"{TOLD} password: correct-horse" in said
    disk, seed = told(node, "info web1")["disks"]
    assert (disk["storage"], disk["pool"], disk["size"]) == ("file", "default", GUEST_SIZE)
    for each in (disk, seed):
        assert node.run(f"stat -c %a {each['path']}").stdout.strip() == "600"
    # The secret is on the seed and nowhere in the state, whose history and journal are in it.
    kept = node.run("grep -rl correct-horse /var/lib/mcv /var/log/journal", check=False).stdout
    assert kept.split() == [seed["path"]]
    mcv(node, "cluster check")
    mcv(node, "shutdown web1 --wait --timeout 60")
    assert GOODBYE in console(node)
    mcv(node, "delete web1 --yes")
    assert node.run("ls /var/lib/mcv/pool /var/log/libvirt/console").stdout.count("web1") == 0

    boot_directly(node, "--hostname direct")
    assert f"{CALLED} direct." in console(node)
    mcv(node, "stop web1")
    mcv(node, "cluster check")
    mcv(node, "delete web1 --yes")
    assert node.run("ls /var/lib/mcv/pool /var/lib/mcv/boot").stdout.count("web1") == 0


def boot_directly(node: Node, options: str) -> None:
    """Create a VM that boots the kernel of the lab's guest, and wait until it is up."""
    node.put(guests.linux(), "/root/debian.raw")
    node.run("cd /root && mcopy -o -n -i debian.raw ::vmlinuz ::initrd .")
    mcv(
        node,
        f"create web1 --memory 128MiB --kernel /root/vmlinuz --initrd /root/initrd {options} "
        "--append 'console=ttyS0 quiet no_timer_check mitigations=off' --start",
    )
    wait_until(lambda: UP in console(node), 150, "the guest to be up")


def console(node: Node) -> str:
    """What the guest said on its serial console, by the log of it."""
    return node.run(f"cat {LOG}", check=False).stdout


SHELL = "UEFI Interactive Shell"


@pytest.mark.soak
def test_a_guest_gets_its_address_by_nat_and_the_processor_of_all_nodes(
    strangers: list[Node],
) -> None:
    node, _ = strangers
    node.put(guests.linux(), "/root/debian.raw")
    mcv(node, "network create out --nat")
    model = told(node, "cluster cpu-baseline --set")["stored"]["model"]

    mcv(
        node,
        "create web1 --memory 128MiB --image /root/debian.raw --network out --hostname www --start",
    )

    wait_until(lambda: UP in console(node), 150, "the guest to be up")
    lease = r"lease of 192\.168\.1[3-9]\d\.\d+ obtained from 192\.168"
    assert re.search(lease, console(node)), console(node)
    assert f">{model}</model>" in node.run("virsh dumpxml --inactive web1").stdout
    mcv(node, "stop web1")
    mcv(node, "delete web1 --yes")
    mcv(node, "network delete out")
    wait_until(lambda: not node.run("virsh -q net-list --all").stdout, 30, "the network to go")


@pytest.mark.soak
def test_the_variables_of_uefi_are_kept_and_move_with_their_vm(pair: list[Node]) -> None:
    node1, node2 = pair
    mcv(node1, "create web1 --memory 128MiB --disk 8MiB --firmware uefi --start")
    wait_until(lambda: SHELL in console(node1), 240, "the firmware's shell")
    mcv(node1, "stop web1")

    mcv(node1, "migrate web1")
    (efi,) = (each for each in told(node2, "disk list web1") if each["role"] == "efi")
    assert (efi["size"], efi["target"], sorted(efi["places"])) == (SIZE, "", ["node1", "node2"])
    before = variables(node2)
    mcv(node2, "start web1")
    wait_until(lambda: SHELL in console(node2), 240, "the firmware's shell")

    # The firmware wrote what it boots from at its first start, and that has moved.
    assert before != VARIABLES.read_bytes()
    mcv(node2, "stop web1")
    mcv(node2, "cluster check")
    mcv(node2, "delete web1 --yes")

    # A logical volume of its own has them at its end, where the firmware looks for them.
    mcv(node1, "create web1 --memory 128MiB --disk 8MiB --firmware uefi --storage lvm --start")
    wait_until(lambda: SHELL in console(node1), 240, "the firmware's shell")
    mcv(node1, "stop web1")
    kept = variables(node1, skip=4 * MIB - SIZE)
    assert kept[:64] == VARIABLES.read_bytes()[:64] and kept != VARIABLES.read_bytes()
    mcv(node1, "cluster check")
    mcv(node1, "delete web1 --yes")


@pytest.mark.soak
def test_what_a_vm_boots_directly_moves_with_it(pair: list[Node]) -> None:
    node1, node2 = pair
    boot_directly(node1, "--disk 8MiB")

    mcv(node1, "migrate web1 --online")

    assert node2.run("ls -l /var/lib/mcv/boot").stdout.count("web1.") == 2
    assert node1.run("ls -l /var/lib/mcv/boot").stdout.count("web1.") == 0
    mcv(node2, "stop web1")
    mcv(node2, "migrate web1 --start-after-migration")
    wait_until(lambda: UP in console(node1), 150, "the guest to be up again")
    mcv(node1, "stop web1")
    for disk in (2, 3):
        mcv(node1, f"disk remove web1 {disk} --yes")
    assert "<kernel>" not in node1.run("virsh dumpxml --inactive web1").stdout
    mcv(node1, "cluster check")
    mcv(node1, "delete web1 --yes")


def variables(node: Node, skip: int = 0) -> bytes:
    """The variables as the volume, of a disk or below DRBD, has them on a node."""
    part = f"bs=4k skip={skip // 4096} count={SIZE // 4096}"
    read = f"dd if=/dev/vg0/mcv-web1-2 iflag=direct {part} status=none"
    return base64.b64decode(node.run(f"{read} | base64").stdout)
