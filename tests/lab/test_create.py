"""A first VM, on a host that has neither a volume group nor DRBD to speak of."""

from tests.lab import Node, guests, wait_until
from tests.lab.cluster import mcv, told
from tests.lab.linux_guest import GOODBYE, UP

LOG = "/var/log/libvirt/console/web1.log"


def test_a_host_alone_creates_and_starts_a_vm_from_an_image(strangers: list[Node]) -> None:
    node, _ = strangers
    node.put(guests.linux(), "/root/debian.raw")
    node.run("qemu-img convert -O qcow2 /root/debian.raw /root/debian.qcow2")

    created = mcv(node, "create web1 --memory 128MiB --image /root/debian.qcow2 --start")

    assert created.stdout == "web1 is created on node1 and runs.\n"
    wait_until(lambda: UP in console(node), 150, "the guest to be up")
    (disk,) = told(node, "info web1")["disks"]
    assert (disk["storage"], disk["pool"], disk["size"]) == ("file", "default", 24 << 20)
    assert node.run(f"stat -c %a {disk['path']}").stdout.strip() == "600"
    mcv(node, "cluster check")
    mcv(node, "shutdown web1 --wait --timeout 60")
    assert GOODBYE in console(node)
    mcv(node, "delete web1 --yes")
    assert node.run("ls /var/lib/mcv/pool").stdout == ""


def console(node: Node) -> str:
    """What the guest said on its serial console, by the log of it."""
    return node.run(f"cat {LOG}", check=False).stdout
