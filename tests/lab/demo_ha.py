"""A host dies, and nobody gets up: `make demo-ha`, three real nodes and a clock on the screen.

Each step's commands are shown with what they say. What the clock tells is seen from outside, or
asked of libvirt, the disks and the power service; the first thing that is not so ends the demo.
"""

import shutil
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from tests.lab import Lab, LabError, Node, guests, reality, wait_until
from tests.lab.address_watch import AddressWatch
from tests.lab.clock import Clock, Eye, watch
from tests.lab.cluster import told
from tests.lab.evidence import FAILURES, keep_evidence
from tests.lab.ha.fenced import (
    ADDRESS,
    BRIDGE,
    OF_WWW,
    give_agents,
    served,
    with_front,
    with_script,
)
from tests.lab.ha.trio import WITNESS, all_hold, are_online
from tests.lab.host import Place
from tests.lab.image import PASSWORD, Image
from tests.lab.numbers import Acknowledged, missing, on_disk
from tests.lab.power import PASSWORD as PLUGS
from tests.lab.power import SERVICE, Power
from tests.lab.steps import claim, passed, play, typed

GREETING = "web2 has started, and says hello."
LIMIT = 180.0  # s from the death until all runs again, in a busy lab
RESOURCES = {"web1": "mcv-web1-1", "web2": "mcv-web2-1"}


@dataclass
class Stage:
    """Three nodes, a machine beside them that looks on, and the power service."""

    nodes: list[Node]
    witness: Node
    power: Power
    open: ExitStack
    acknowledged: Acknowledged = field(init=False)
    address: AddressWatch = field(init=False)

    @property
    def survivors(self) -> list[Node]:
        return self.nodes[1:]


def join(stage: Stage) -> None:
    """Three hosts are one cluster"""
    one, *others = stage.nodes
    one.put(f"{PASSWORD}\n", "/root/pw")
    for node in others:
        where = f"--node {node.name} --ip-address {node.address}"
        typed(one, f"mcv cluster add-node {where} --password-file pw --yes")
    typed(one, "mcv drbd enable")
    typed(one, "mcv network create lan --bridge br-lan")


def fence(stage: Stage) -> None:
    """A majority in etcd, and a fence device whose plug is tested"""
    one, two, _ = stage.nodes
    typed(one, "mcv cluster store etcd --yes", timeout=240)
    one.put(f"{PLUGS}\n", "/root/pdu.pw")
    device = f"ip={SERVICE} ipport={stage.power.port} username=root"
    typed(one, f"mcv fence device add pdu --agent fence_lab {device} --secret-file pdu.pw")
    typed(one, "mcv fence set node1 --level 1 pdu:1")
    typed(two, "mcv fence test node1 --off --yes", timeout=600)
    done = [action for action in stage.power.actions("1") if action in ("off", "on")]
    claim("the power service has switched node1 off and on", done == ["off", "on"], done)
    wait_until(lambda: are_online(stage.nodes), 120, "all nodes to be online")


def arm(stage: Stage) -> None:
    """Every node has a lease and a watchdog"""
    one, *_ = stage.nodes
    # 4: it is armed, and etcd was too slow for what comes after.
    typed(one, "mcv ha arm --trust-softdog || [ $? = 4 ]", timeout=240)
    wait_until(lambda: all_hold(stage.nodes), 60, "all nodes to have their lease")
    typed(one, "mcv ha status")


def fill(stage: Stage) -> None:
    """Two guests, and an address with a script, all on node1 and looked after"""
    one, *_ = stage.nodes
    one.put(guests.numberer(), "/root/web1.img")
    one.put(guests.speaker(GREETING), "/root/web2.img")
    disk = "--image {0}.img --network lan --node node1 --nodes node1,{1}"
    typed(one, f"mcv create web1 --memory 128MiB --disk 40MiB {disk.format('web1', 'node2')}")
    typed(one, f"mcv create web2 --memory 16MiB --disk 8MiB {disk.format('web2', 'node3')}")
    typed(one, "mcv start web1 web2", timeout=240)
    typed(one, "mcv ha add web1 && mcv ha add web2")
    typed(one, f"mcv ha service create www {OF_WWW}")
    typed(one, "mcv ha service start www")
    _look_on(stage)
    for name, resource in RESOURCES.items():
        claim(f"{name} runs on node1, says libvirt", reality.domain(one, name) == "running")
        wait_until(partial(reality.is_in_step, one, resource), 120, "both replicas in step")
    claim(f"node1 has {ADDRESS}", stage.address.holders() == ("node1",), stage.address.holders())
    typed(one, "mcv ha list")
    typed(one, "mcv ha what-if --dead node1")


def _look_on(stage: Stage) -> None:
    stage.acknowledged = Acknowledged("web1", stage.nodes)
    stage.open.callback(stage.acknowledged.close)
    address = AddressWatch(stage.witness, BRIDGE, ADDRESS, stage.nodes)
    stage.address = stage.open.enter_context(address)
    wait_until(lambda: stage.acknowledged.last > 20, 150, "web1 to write")
    wait_until(stage.address.holders, 10, "the address to be seen")


def die(stage: Stage) -> None:
    """node1 dies, and the clock runs"""
    dead, *_ = stage.nodes
    began = time.monotonic()
    dead.kill()
    print("    node1 has lost its power", flush=True)
    events = watch(eyes(stage, dead), Clock(), began, LIMIT)
    known = set(stage.acknowledged.numbers)
    lost = missing(known, on_disk(stage.survivors[0], RESOURCES["web1"]))
    claim(f"of {len(known)} blocks that web1 was told are written none is lost", not lost, lost)
    stage.address.require_one_holder()
    claim("the address never had two holders", True)
    claim(f"all runs again after {events[-1].seconds:.0f} s, and nobody has typed a word", True)
    typed(stage.survivors[0], "mcv ha list")


def eyes(stage: Stage, dead: Node) -> dict[str, Eye]:
    """What is looked for after the death of a host, by its name."""
    asked, other = stage.survivors
    before, heard = len(stage.power.requests), len(stage.address.said)
    last = stage.acknowledged.last
    return {
        "silent": lambda: silent(dead.name, told(asked, "ha status", at_once=True)),
        "fenced": lambda: fenced(
            dead.name,
            [each.action for each in stage.power.requests[before:] if each.plug == "1"],
        ),
        "declared": lambda: declared(dead.name, reality.document(other)),
        "web1 started": partial(_started, stage, "web1"),
        "web2 started": partial(_started, stage, "web2"),
        "web1 writes": lambda: writes("web1", dict(stage.acknowledged.numbers), dead.name, last),
        "the address answers": lambda: answers(
            dead.name,
            [(each.what, each.hosts) for each in stage.address.said[heard:]],
        ),
    }


def _started(stage: Stage, name: str) -> str:
    where = (node.name for node in stage.survivors if reality.domain(node, name) == "running")
    return next((f"{name} runs on {node}, says libvirt" for node in where), "")


# What an eye says of what it sees; "" as long as there is nothing


def silent(node: str, status: dict[str, list[dict[str, str]]]) -> str:
    """By the answer of mcv ha status."""
    [state] = [row["state"] for row in status["nodes"] if row["node"] == node]
    return "" if state in ("online", "draining") else f"{node} is silent: it is {state}"


def fenced(node: str, actions: list[str]) -> str:
    """By what the power service was asked about its plug, in order."""
    if "off" not in actions or "status" not in actions[actions.index("off") :]:
        return ""
    return f"{node} is fenced: its power was switched off, and its plug asked"


def declared(node: str, document: dict[str, dict[str, dict[str, object]]]) -> str:
    """By the document on another node's disk."""
    member = document["nodes"][node]
    evidence = member.get("evidence")
    if member["status"] != "offline" or not isinstance(evidence, dict):
        return ""
    return f"{node} is declared: offline in the document, its evidence is {evidence['kind']}"


def writes(name: str, numbers: dict[int, str], dead: str, last: int) -> str:
    """By the blocks that a guest has said are written, and where it ran."""
    since = sorted(number for number, node in numbers.items() if node != dead)
    if not since:
        return ""
    where = numbers[since[0]]
    return f"{name} writes again on {where}: block {since[0]}; before the death it was at {last}"


def answers(dead: str, said: list[tuple[str, tuple[str, ...]]]) -> str:
    """By what a third machine hears of the address: a new holder, and then an answer."""
    for place, (what, hosts) in enumerate(said):
        if what == "held" and hosts and dead not in hosts:
            if any(later == "answered" for later, _ in said[place:]):
                return f"{ADDRESS} answers, on {hosts[0]}"
            return ""
    return ""


def come_back(stage: Stage) -> None:
    """node1 is switched on again by its device, and joins what is there"""
    one, *survivors = stage.nodes
    wait_until(lambda: one.is_running, 120, "node1 to be switched on")
    one.wait()
    wait_until(lambda: are_online(stage.nodes), 180, "all nodes to be online")
    wait_until(lambda: all_hold(stage.nodes), 60, "all nodes to have their lease")
    for name, resource in RESOURCES.items():
        state = reality.domain(one, name)
        claim(f"node1 has not started {name}", state in ("absent", "shut off"), state)
        wait_until(partial(reality.is_in_step, one, resource), 120, "both replicas in step")
        claim(f"both replicas of {name} are in step", True)
    typed(survivors[0], "mcv ha status")


def leave(stage: Stage) -> None:
    """The cluster is disarmed, and nothing is reset"""
    typed(stage.nodes[1], "mcv ha disarm --yes")
    claim("all nodes run on", all(node.is_running for node in stage.nodes))


STEPS: tuple[Callable[[Stage], None], ...] = (join, fence, arm, fill, die, come_back, leave)


def prepare(nodes: list[Node], witness: Node) -> None:
    """What hosts have before mcv: a bridge that leads to the others, and the service's script."""
    with_front([*nodes, witness])
    with_script(nodes)
    give_agents(nodes)


def main() -> int:
    began, place = time.monotonic(), Place.from_environment()
    failures = FAILURES / "demo-ha"
    shutil.rmtree(failures, ignore_errors=True)
    try:
        with Lab(place.beside("demo-ha"), Image(place.directory / "base")) as lab:
            print("Booting three nodes, and a machine beside them.", flush=True)
            lab.node(WITNESS).role = "witness"
            *nodes, witness = lab.up(WITNESS)
            prepare(nodes, witness)
            print(f"They are up after {passed(began)}.", flush=True)
            with served(lab, nodes) as power, ExitStack() as opened:
                if not play(Stage(nodes, witness, power, opened), STEPS):
                    for node in nodes:
                        keep_evidence(node, failures, since=0)
                    print(f"The nodes' logs are in {failures}.", file=sys.stderr)
                    return 1
    except LabError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"\nAll {len(STEPS)} steps did what they say. It took {passed(began)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
