"""A member that lies with its own key: to the coordinator and to an acceptor, nothing is taken."""

import json
from pathlib import Path

import pytest

from tests.lab import Node, reality, wait_until
from tests.lab.cluster import mcv, told

LIAR = (Path(__file__).parent / "liar.py").read_text(encoding="utf-8")
STRAYS = "ls -d /opt/evil* /tmp/pwn* /tmp/evil* /run/mcv/locks/*pwn* 2> /dev/null"
LEAST = 40  # lies of one run

# What is true of every member, and changes nothing: an older or the same document is brought.
HARMLESS = {"commit"}


@pytest.mark.parametrize("liar", [1, 0], ids=["to the coordinator", "as the coordinator"])
def test_nothing_that_a_member_lies_about_is_taken(pair: list[Node], liar: int) -> None:
    node, victim = pair[liar], pair[1 - liar]
    mcv(pair[0], f"create web1 --memory 64MiB --cpus 1 --node {victim.name}")
    node.put(LIAR, "/root/liar.py")
    before = reality.snapshots(pair)

    said = json.loads(
        node.run(f"/opt/mcv/bin/python -I /root/liar.py {node.name} {victim.name} web1").stdout
    )

    served = {what for what, end in said.items() if end == "served"} - HARMLESS
    assert served == set() and len(said) > LEAST, said
    assert not any("internal" in end.lower() for end in said.values()), said
    assert reality.snapshots(pair) == before
    assert victim.run(STRAYS, check=False).stdout == ""
    mcv(node, "permission add carol")
    mcv(victim, "permission remove carol")
    mcv(pair[0], "delete web1 --yes")


HOLD = (
    "import socket, time\n"
    "held = [socket.create_connection(('{}', 8420)) for _ in range(70)]\n"
    "open('/root/held', 'w').close()\n"
    "time.sleep(600)\n"
)


def test_silent_connections_close_no_member_out(pair: list[Node]) -> None:
    one, two = pair
    one.put(HOLD.format(one.address), "/root/hold.py")
    one.run("rm -f /root/held; setsid python3 /root/hold.py > /dev/null 2>&1 & echo $! > /root/pid")
    wait_until(lambda: one.run("test -e /root/held", check=False).code == 0, 30, "70 connections")

    try:
        statuses = {node["name"]: node["status"] for node in told(two, "info")["nodes"]}
        assert statuses == {"node1": "online", "node2": "online"}
        mcv(two, "permission add carol")
        mcv(two, "permission remove carol")
        logged = one.run("journalctl -u mcvd --since -1min | grep -c 'refused connections'").stdout
        assert 1 <= int(logged) <= 3
    finally:
        one.run("pkill -f /root/hold.py", check=False)
