"""A guest with a kernel and a console of its own, as an operator has them."""

import json

from tests.lab import Node, guests, reality, wait_until
from tests.lab.cluster import create, mcv
from tests.lab.linux_guest import GOODBYE, UP

# Keeps what comes from the serial console; raw, or the terminal would echo the guest to itself.
LISTEN = """
    tty=$(virsh ttyconsole web1) && stty -F $tty raw -echo && timeout 300 cat $tty > /root/said
"""


def test_a_linux_says_that_it_is_up_and_obeys_the_power_button(pair: list[Node]) -> None:
    node1, other = pair
    create(node1, "web1", image=guests.linux(), disk="32MiB")
    mcv(node1, "update web1 --memory 128MiB")

    mcv(node1, "start web1")
    listening = node1.start(LISTEN)
    wait_until(lambda: UP in said(node1), 150, "the guest to be up")
    runs_commands_through_its_agent(node1, other)
    mcv(node1, "shutdown web1")

    wait_until(lambda: reality.domain(node1, "web1") == "shut off", 60, "the guest to be off")
    listening.communicate(timeout=30)
    assert GOODBYE in said(node1)
    end = node1.run("tail -n 1 /var/log/libvirt/qemu/web1.log").stdout
    assert "reason=shutdown" in end, end
    mcv(node1, "rename web1 www")
    assert node1.run("virsh list --all --name").stdout.split() == ["www"]
    assert GOODBYE in node1.run("cat /var/log/libvirt/console/www.log").stdout
    mcv(node1, "start www")
    wait_until(lambda: agent_of(other, "www") == "answers", 150, "the agent to answer")
    mcv(node1, "reboot www --wait --timeout 100")
    wait_until(lambda: agent_of(other, "www") == "answers", 150, "the agent to answer again")
    mcv(node1, "stop www")
    mcv(node1, "delete www --yes")


def runs_commands_through_its_agent(owner: Node, other: Node) -> None:
    """From the other node, too: what it wrote is as it wrote it, and its end is told."""
    wait_until(lambda: agent_of(other, "web1") == "answers", 60, "the agent to answer")
    told = other.run("mcv exec web1 -- sh -c 'echo out; printf err >&2; exit 3'", check=False)
    assert (told.code, told.stdout) == (5, "out\n")
    assert told.stderr == "errError: sh exited in web1 with 3.\n"
    refused = owner.run("mcv exec web1 /no/such", check=False)
    assert refused.code == 3 and "refuses" in refused.stderr
    late = owner.run("mcv exec web1 --timeout 0.5 -- sleep 30", check=False)
    assert late.code == 4 and "runs on in web1 as process" in late.stderr
    much = owner.run("mcv exec web1 -- dd if=/dev/zero bs=1M count=3 2>/dev/null | wc -c")
    assert much.stdout.strip() == str(3 << 20)


def agent_of(node: Node, name: str) -> object:
    return json.loads(mcv(node, f"info {name} --json").stdout).get("agent")


def said(node: Node) -> str:
    return node.run("cat /root/said", check=False).stdout
