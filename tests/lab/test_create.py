"""A first VM, on a host that has neither a volume group nor DRBD to speak of."""

from tests.lab import Node, guests, wait_until
from tests.lab.cluster import mcv, told
from tests.lab.linux_guest import CALLED, GOODBYE, LETS_IN, TOLD, UP

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
    assert (disk["storage"], disk["pool"], disk["size"]) == ("file", "default", 24 << 20)
    for each in (disk, seed):
        assert node.run(f"stat -c %a {each['path']}").stdout.strip() == "600"
    # The secret is on the seed and nowhere in the state, whose history and journal are in it.
    kept = node.run("grep -rl correct-horse /var/lib/mcv /var/log/journal", check=False).stdout
    assert kept.split() == [seed["path"]]
    mcv(node, "cluster check")
    mcv(node, "shutdown web1 --wait --timeout 60")
    assert GOODBYE in console(node)
    mcv(node, "delete web1 --yes")
    assert node.run("ls /var/lib/mcv/pool").stdout == ""


def console(node: Node) -> str:
    """What the guest said on its serial console, by the log of it."""
    return node.run(f"cat {LOG}", check=False).stdout
