"""Stories written by chance: safe whatever happens, and all is well again once all is mended."""

import os
import random

import pytest

from tests.ha.stories import Command, Story, StoryNode, StoryService, command
from tests.ha.story_play import play

FIRST = int(os.environ.get("HA_SEED", "1"))
STORIES = 1000 if os.environ.get("MCV_SOAK") else 20
EACH = 10
NODES = ("node1", "node2", "node3", "node4")

# Faults that a cluster mends itself; {n} is a node, {m} another, {s} a service.
FAULTS = (
    "power {n} off",
    "power {n} on",
    "network {n} off",
    "network {n} on",
    "reboot {n}",
    "shutdown {n}",
    "freeze {n} 10",
    "freeze {n} 40",
    "clock {n} +40",
    "link {n} {m} down",
    "link {n} {m} up",
    "etcd {n} kill",
    "etcd {n} start",
    "cfs {n} rw fail",
    "cfs {n} rw work",
    "crm {n} stop",
    "crm {n} start",
    "crash {n} at 3",
    "restart-lrm {n}",
    "fence-device {n} ok",
    "fence-device {n} hang",
    "fence-device {n} wrong-plug untested",
    "crm {n} enable-node-maintenance",
    "crm {n} disable-node-maintenance",
    "service {s} migrate {n}",
    "service {s} relocate {n}",
    "service {s} stopped",
    "service {s} started",
    "service {s} ignored",
)


def of(seed: int) -> Story:
    """Twelve batches of faults, and one that mends everything."""
    chance = random.Random(seed)
    nodes = NODES[: chance.choice((3, 4))]
    services = {f"vm:{number}": chance.choice(nodes) for number in range(1, 6)}
    services["ct:7"] = chance.choice(nodes)

    def fault() -> Command:
        one, other = chance.sample(nodes, 2)
        line = chance.choice(FAULTS)
        return command(line.format(n=one, m=other, s=chance.choice(sorted(services))))

    batches = [[fault() for _ in range(chance.choice((1, 1, 2, 3)))] for _ in range(12)]
    return Story(
        name=str(seed),
        nodes=dict.fromkeys(nodes, StoryNode(is_on=False, is_linked=False)),
        services={
            name: StoryService(node=node, wanted="started", is_live=name.startswith("vm"))
            for name, node in services.items()
        },
        batches=(
            tuple(command(f"power {node} on") for node in nodes),
            *(tuple(batch) for batch in batches),
            (),
            tuple(mended(nodes, tuple(services))),
        ),
        between=chance.choice((5, 17, 40, 100)),
        on_shutdown=chance.choice(("conditional", "migrate", "failover", "freeze")),
    )


def mended(nodes: tuple[str, ...], services: tuple[str, ...]) -> list[Command]:
    """All is switched on, linked and restored, and everything is wanted started."""
    lines = [
        line.format(n=node)
        for node in nodes
        for line in (
            *("power {n} on", "network {n} on", "etcd {n} start", "cfs {n} rw work"),
            *("crm {n} start", "fence-device {n} none", "crm {n} disable-node-maintenance"),
        )
    ]
    lines += [f"link {one} {other} up" for one in nodes for other in nodes]
    lines += [f"service {name} started" for name in services]
    return [command(line) for line in lines]


@pytest.mark.parametrize("part", range(STORIES // EACH))
def test_whatever_happens_all_is_safe_and_well_in_the_end(part: int) -> None:
    for number in range(EACH):
        story = of(FIRST + part * EACH + number)

        played = play(story)

        told = "\n".join([f"HA_SEED={story.name}", *played.log])
        assert not played.violation, told
        states = {name: state for name, (state, _) in played.outcome.services.items()}
        assert states == dict.fromkeys(story.services, "started"), told
