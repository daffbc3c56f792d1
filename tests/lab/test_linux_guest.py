"""A guest with a kernel and a console of its own, as an operator has them."""

from tests.lab import Node, guests, reality, wait_until
from tests.lab.cluster import create, mcv
from tests.lab.linux_guest import GOODBYE, UP

# Keeps what comes from the serial console; raw, or the terminal would echo the guest to itself.
LISTEN = """
    tty=$(virsh ttyconsole web1) && stty -F $tty raw -echo && timeout 300 cat $tty > /root/said
"""


def test_a_linux_says_that_it_is_up_and_obeys_the_power_button(pair: list[Node]) -> None:
    node1, _ = pair
    create(node1, "web1", image=guests.linux(), disk="32MiB")
    mcv(node1, "update web1 --memory 128MiB")

    mcv(node1, "start web1")
    listening = node1.start(LISTEN)
    wait_until(lambda: UP in said(node1), 150, "the guest to be up")
    mcv(node1, "shutdown web1")

    wait_until(lambda: reality.domain(node1, "web1") == "shut off", 60, "the guest to be off")
    listening.communicate(timeout=30)
    assert GOODBYE in said(node1)
    end = node1.run("tail -n 1 /var/log/libvirt/qemu/web1.log").stdout
    assert "reason=shutdown" in end, end
    mcv(node1, "delete web1 --yes")


def said(node: Node) -> str:
    return node.run("cat /root/said", check=False).stdout
