"""Two nodes without a witness, armed by their fence devices: cut off from each other, or alone."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.lab import Lab, LabError, Node, reality, wait_until
from tests.lab.cluster import in_contact, join, mcv, reset, revive, told
from tests.lab.conftest import watched
from tests.lab.ha.fenced import come_on, give_agents
from tests.lab.ha.managed import DEVICE, SECRET, START
from tests.lab.ha.trio import RESOURCE, VM, WITNESS, Observed, Trio, attempt, owner, throughout
from tests.lab.lab import side_by_side
from tests.lab.power import PASSWORD, SERVICE, Mode, Power

pytestmark = pytest.mark.row

SUSPECT = 8.0  # s of silence
NOTICED = 25.0  # s in which a loss is noticed on all paths, and the first shot made and seen
TURN = 40.0  # s more until the second node shoots: its tests took seconds
CALM = 45.0  # s in which a node that would shoot has done so


class Duo(NamedTuple):
    """node1 and node2 as one cluster, armed, with web1 managed on node1, and their power."""

    trio: Trio  # of two nodes
    power: Power

    def make(self, bystander: Node) -> None:
        one, two = self.trio.nodes
        attempt(lambda: one.run("mcv ha disarm --yes", check=False))
        side_by_side(reset, [one, two, bystander])
        join([one, two])
        give_agents([one, two])
        one.put(f"{PASSWORD}\n", SECRET)
        where = f"ip={SERVICE} ipport={self.power.port} username=root"
        mcv(one, f"fence device add {DEVICE} --agent fence_lab {where} --secret-file {SECRET}")
        for node, asked in ((one, two), (two, one)):
            mcv(one, f"fence set {node.name} --level 1 {DEVICE}:{node.number}")
            mcv(asked, f"fence test {node.name} --off --yes", timeout=600)
            node.wait()
            wait_until(lambda: in_contact([one, two]), 120, f"{node.name} to be back")
        self.trio.create()
        mcv(one, f"ha add {VM} --priority 5")
        mcv(one, "ha settings start-grace=5")
        mcv(one, "ha arm")
        wait_until(lambda: told(two, "ha status")["manager"], 30, "a node that decides")
        self.power.requests.clear()

    def offs(self, node: Node) -> int:
        return self.power.actions(str(node.number)).count("off")

    def leave(self) -> None:
        """What befell the nodes is over, and they are armed no more."""
        one, two = self.trio.nodes
        for node in (one, two):
            self.power.mode(str(node.number), Mode.WELL)
            node.heal()
        for node in (one, two):
            try:
                come_on(node)
            except LabError:
                node.wait()  # its fence device was faster
        wait_until(lambda: in_contact([one, two]), 150, "both nodes to be back")
        mcv(one, "ha disarm --yes")

    def status_of(self, asked: Node, node: Node) -> tuple[str, str]:
        """How the document on a node's disk calls another one, and the evidence."""
        member = reality.document(asked)["nodes"][node.name]
        return member["status"], (member.get("evidence") or {}).get("kind", "")


@pytest.fixture
def duo(ha_lab: Lab, service: Power, request: pytest.FixtureRequest) -> Iterator[Duo]:
    one, two, three, witness = revive(ha_lab, WITNESS)
    duo = Duo(Trio([one, two], witness), service)
    duo.make(three)
    for _ in watched(ha_lab, [one, two], request.node):
        yield duo
    duo.leave()


def survives(duo: Duo, seen: Observed, survivor: Node, other: Node, timeout: float) -> None:
    """Wait until one has switched the other off and runs the guest, which has lost nothing."""
    wait_until(
        lambda: duo.status_of(survivor, other) == ("offline", "off"),
        timeout,
        f"{other.name} to be declared offline by {survivor.name}",
    )
    wait_until(lambda: reality.domain(survivor, VM) == "running", START, f"{VM} on {survivor.name}")
    assert owner(survivor) == survivor.name
    seen.wait_for_writes(survivor, number=5)
    seen.require_nothing_lost(survivor)


def test_of_two_that_are_cut_off_from_each_other_the_owner_survives(duo: Duo) -> None:
    """node2 is switched on again, still cut off: it shoots nobody, and comes back when it can."""
    one, two = duo.trio.nodes
    with duo.trio.observed() as seen:
        seen.wait_for_writes(one)
        two.cut()

        survives(duo, seen, one, two, SUSPECT + NOTICED)
        assert duo.offs(one) == 0

        wait_until(lambda: duo.power.actions("2")[-1:] == ["on"], 60, "node2 to be switched on")
        two.wait()
        throughout(lambda: duo.offs(one) == 0, CALM, "node2 shoots nobody")
        two.heal()
        wait_until(lambda: reality.is_in_step(two, RESOURCE), 150, "node2 to be back in step")
        wait_until(lambda: duo.status_of(one, two) == ("online", ""), 60, "node2 to be online")
        seen.require_nothing_lost(one)


def test_where_the_owners_shot_fails_the_other_survives_with_every_write(duo: Duo) -> None:
    one, two = duo.trio.nodes
    duo.power.mode("2", Mode.DEAF)
    with duo.trio.observed() as seen:
        seen.wait_for_writes(one)
        two.cut()
        cut = time.monotonic()

        survives(duo, seen, two, one, SUSPECT + NOTICED + TURN + START)

        first = min(r.at for r in duo.power.requests if (r.plug, r.action) == ("1", "off"))
        assert first - cut > SUSPECT + 15.0, "node2 waits for its turn"
        two.heal()


def test_nothing_moves_while_no_device_answers_and_the_guest_goes_on_when_the_link_is_back(
    duo: Duo,
) -> None:
    one, two = duo.trio.nodes
    for plug in ("1", "2"):
        duo.power.mode(plug, Mode.DEAF)
    with duo.trio.observed() as seen:
        seen.wait_for_writes(one)
        two.cut()

        wait_until(
            lambda: any("mcv fence confirm node2" in line for line in attention(one)),
            SUSPECT + NOTICED + 20,
            "node1 to wait for a word",
        )
        assert duo.status_of(one, two) == duo.status_of(two, one) == ("online", "")
        two.heal()
        seen.wait_for_writes(one)
        seen.require_nothing_lost(one)


def attention(node: Node) -> list[str]:
    return list(told(node, "ha status")["attention"])


def test_a_node_that_is_booted_alone_waits_and_says_so(duo: Duo) -> None:
    one, two = duo.trio.nodes
    side_by_side(Node.kill, [one, two])
    one.boot()

    wait_until(
        lambda: any("has not been in contact with node2" in line for line in attention(one)),
        90,
        "node1 to say that it waits",
    )
    throughout(lambda: duo.offs(two) == 0, CALM, "node1 shoots nobody")
    assert reality.domain(one, VM) != "running"

    two.boot()
    wait_until(lambda: reality.domain(one, VM) == "running", 150, f"{VM} to run again")
    assert duo.offs(one) == duo.offs(two) == 0
