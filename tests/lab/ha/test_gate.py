"""The gate on real nodes: what the handler says and how soon, marks, and what is marked."""

import re
import time

import pytest

from tests.lab import Node, reality, wait_until
from tests.lab.cluster import mcv, told
from tests.lab.ha.trio import RESOURCE, VM, Trio

pytestmark = pytest.mark.row

HANDLER = "/opt/mcv/bin/mcv-drbd-handler"
SOON = 1.0  # s in a lab that is busy, beside Python's own start; measured 0.3


def minor(node: Node) -> int:
    return int(reality.document(node)["vms"][VM]["disks"][0]["minor"])


def marked(node: Node) -> str:
    """What `mcv info` tells of web1's replicas; "" where none is marked."""
    lines = [line for line in told(node, "info")["attention"] if "is behind since" in line]
    return lines[0] if lines else ""


def verdict(node: Node) -> tuple[int, float]:
    """What the handler answers, as the kernel calls it, and how many seconds it takes."""
    state = f"/var/lib/mcv/{node.name}"
    asked = f"DRBD_RESOURCE={RESOURCE} DRBD_MINOR={minor(node)} {HANDLER} fence-peer {state}"
    result = node.run(f"date +%s.%N; {asked} 2>/dev/null; echo code $?; date +%s.%N", check=False)
    found = re.fullmatch(r"(\S+)\ncode (\d+)\n(\S+)\n", result.stdout)
    assert found, result.stdout + result.stderr
    return int(found[2]), float(found[3]) - float(found[1])


def python(node: Node) -> float:
    """How many seconds Python takes there to begin and end."""
    result = node.run("date +%s.%N; /opt/mcv/bin/python3 -I -c pass; date +%s.%N")
    before, after = result.stdout.split()
    return float(after) - float(before)


def test_the_owner_of_a_lost_peer_marks_it_and_goes_on_at_once(armed: Trio) -> None:
    one, two, three = armed.in_roles()
    with armed.observed() as seen:
        seen.wait_for_writes(one)
        two.kill()
        seen.wait_for_writes(one)
        wait_until(lambda: f"the replica on {two.name}" in marked(three), 20, "the mark of it")
        start = min(python(one) for _ in range(5))
        answers = [verdict(one) for _ in range(5)]
        assert {code for code, _ in answers} == {5}
        seconds = sorted(seconds for _, seconds in answers)
        print(f"the handler has decided in {seconds} s, of which Python's start is {start} s")
        assert seconds[0] < start + SOON, (seconds, start)
        armed.come_back(two)
        wait_until(lambda: not marked(three), 20, "the mark to go with the resync")


def test_a_detached_replica_is_marked_and_not_taken_over(armed: Trio) -> None:
    one, two, three = armed.in_roles()
    with armed.observed() as seen:
        seen.wait_for_writes(one)
        two.run(f"drbdsetup detach {minor(two)}")
        began = time.monotonic()
        wait_until(lambda: f"the replica on {two.name}" in marked(three), 15, "the mark of it")
        print(f"marked, and told elsewhere, after {time.monotonic() - began:.1f} s")
        seen.wait_for_writes(one)
        one.kill()
        # A boot attaches the replica again, and its metadata say that it is UpToDate.
        two.kill()
        two.boot()
        mcv(two, f"node offline {one.name} --confirm-dead --yes", timeout=120)
        refused = mcv(two, f"evacuate {one.name} --yes", code=3).stderr
        assert f"replica of {VM} on {two.name} has been behind since" in " ".join(refused.split())
        assert "--accept-stale" in refused
        armed.come_back(one)
        seen.rebooted(one)
        wait_until(lambda: not marked(three), 60, "the mark to go with the resync")
