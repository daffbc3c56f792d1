"""A guest with a kernel and a console of its own, as an operator has them."""

from tests.lab import Node, guests, reality, wait_until
from tests.lab.cluster import create, mcv
from tests.lab.linux_guest import GOODBYE, UP

# Reads the serial console up to a line; raw, or the terminal would echo the guest to itself.
READ = "tty=$(virsh ttyconsole web1) && stty -F $tty raw -echo && timeout 150 grep -m 1 '{}' $tty"


def test_a_linux_says_that_it_is_up_and_obeys_the_power_button(pair: list[Node]) -> None:
    node1, _ = pair
    create(node1, "web1", image=guests.linux(), disk="32MiB")
    mcv(node1, "update web1 --memory 128MiB")

    mcv(node1, "start web1")
    assert UP in node1.run(READ.format(UP), timeout=160).stdout
    listening = node1.start(READ.format(GOODBYE))
    mcv(node1, "shutdown web1")

    assert GOODBYE in listening.communicate(timeout=160)[0]
    wait_until(lambda: reality.domain(node1, "web1") == "shut off", 60, "the guest to be off")
    end = node1.run("tail -n 1 /var/log/libvirt/qemu/web1.log").stdout
    assert "reason=shutdown" in end, end
    mcv(node1, "delete web1 --yes")
