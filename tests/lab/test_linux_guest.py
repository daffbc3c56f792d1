"""A guest with a kernel and a console of its own, as an operator has them."""

import json
import subprocess

import pytest

from tests.lab import Node, guests, reality, wait_until
from tests.lab.cluster import create, mcv
from tests.lab.linux_guest import GOODBYE, UP

CONSOLE = "mcv console web1 > /root/said 2> /root/ended; echo exit $? >> /root/ended"
MOVE = "mcv migrate --node node2 --wait-for-shutdown --start-after-migration web1"


@pytest.mark.soak
def test_a_linux_is_typed_to_from_the_other_node_and_obeys_the_power_button(
    pair: list[Node],
) -> None:
    node1, node2 = pair
    create(node1, "web1", image=guests.linux(), disk="32MiB")
    mcv(node1, "update web1 --memory 128MiB")

    refused = mcv(node2, "console web1", code=3).stderr
    assert "web1 does not run: it is stopped" in refused, refused
    mcv(node1, "start web1")
    console = node2.start(CONSOLE)
    wait_until(lambda: UP in said(node2), 150, "the guest to be up")
    typed(console, "echo $((6 * 7)) is it")
    wait_until(lambda: "\n42 is it" in said(node2), 30, "the guest to answer")
    refused = mcv(node1, "console web1", code=3).stderr
    assert "on node2 reads the console of web1 since" in refused, refused

    moving = node1.start(MOVE)
    wait_until(lambda: "running" in node1.run("mcv job list").stdout, 30, "the move to wait")
    typed(console, "poweroff -f")
    console.communicate(timeout=60)
    ended = node2.run("cat /root/ended").stdout
    assert ended.endswith("exit 0\n") and "web1" in ended, ended
    assert moving.wait(120) == 0, moving.communicate()

    console = node1.start(CONSOLE)
    wait_until(lambda: UP in said(node1), 150, "the guest to be up on its new node")
    taken = mcv(node2, "console web1 --take < /dev/null", timeout=60)
    # The shell's question to the terminal, where its cursor is, is not asked of a later reader.
    live = said(node1).replace("\x1b[6n", "")
    assert live.splitlines()[-2:] == taken.stdout.replace("\r", "").splitlines()[-2:]
    console.communicate(timeout=30)
    ended = node1.run("cat /root/ended").stdout
    assert "on node2 took the console of web1 over" in ended and "exit 4" in ended, ended
    assert greeting_of_the_screen(node1) == "RFB 003.008"
    runs_commands_through_its_agent(node2, node1)
    console = node1.start(CONSOLE)
    mcv(node1, "shutdown web1")

    wait_until(lambda: reality.domain(node2, "web1") == "shut off", 60, "the guest to be off")
    console.communicate(timeout=30)
    assert GOODBYE in said(node1)
    assert node1.run("cat /root/ended").stdout == "web1 is off.\nexit 0\n"
    end = node2.run("tail -n 1 /var/log/libvirt/qemu/web1.log").stdout
    assert "reason=shutdown" in end, end
    mcv(node1, "rename web1 www")
    assert node2.run("virsh list --all --name").stdout.split() == ["www"]
    assert GOODBYE in node2.run("cat /var/log/libvirt/console/www.log").stdout
    mcv(node1, "start www")
    wait_until(lambda: agent_of(node1, "www") == "answers", 150, "the agent to answer")
    mcv(node1, "reboot www --wait --timeout 100")
    wait_until(lambda: agent_of(node1, "www") == "answers", 150, "the agent to answer again")
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
    much = owner.run("mcv exec web1 -- dd if=/dev/zero bs=64k count=4 status=none | wc -c")
    assert much.stdout.strip() == str(256 << 10), much


def agent_of(node: Node, name: str) -> object:
    return json.loads(mcv(node, f"info {name} --json").stdout).get("agent")


VIEW = """
    timeout 30 mcv vnc web1 --json > /root/screen &
    until grep -q '^}' /root/screen; do sleep 0.2; done
    port=$(sed -n 's/.*"port": \\([0-9]*\\).*/\\1/p' /root/screen)
    exec 3<> /dev/tcp/127.0.0.1/$port && head -c 11 <&3
    kill %1
"""


def greeting_of_the_screen(node: Node) -> str:
    """The first words of QEMU's VNC server, read on a node where the VM does not run."""
    node.put(VIEW, "/root/view.sh")
    return node.run("bash /root/view.sh", check=False).stdout


def typed(console: "subprocess.Popen[str]", line: str) -> None:
    assert console.stdin
    console.stdin.write(f"{line}\n")
    console.stdin.flush()


def said(node: Node) -> str:
    return node.run("cat /root/said", check=False).stdout.replace("\r", "")
