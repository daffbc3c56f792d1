"""kill -9 in the middle of every operation: what was cut off is finished or undone.

The sample of `make test`: each kind of operation, at an instant in its middle, with the daemon that
carries it out killed, or its peer's; and whole hosts. With MCV_SOAK in the environment, as
`make soak` has it, every step of every plan, and both. tests/deaths has all instants,
in-process.
"""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.lab import Node, guests, reality, wait_until
from tests.lab.cluster import PASSWORD_FILE, mcv, told
from tests.lab.consistency import RESOURCE, is_gone, is_whole, owner, settle
from tests.lab.watch import PROPOSED

STATE = "/var/lib/mcv/$(hostname)"
CREATE = "create web1 --memory 16MiB --disk 8MiB --image /root/web1.img --network lan"
ADD = f"cluster add-node --node node2 --ip-address 10.99.0.2 --password-file {PASSWORD_FILE} --yes"
# kill -9 of mcvd alone: what it runs (lvcreate, drbdadm) comes to its end.
KILL = "systemctl kill --kill-whom=main --signal=KILL mcvd"

WATCH = Path(__file__).with_name("watch.py")


class Operation(NamedTuple):
    """A command for node1, what is there before it, the steps of its plan, what must be after.

    Without steps it is one change of the document, caught while it is proposed; `undo` takes
    it back where it was missed.
    """

    command: str
    before: Callable[[list[Node]], None]
    steps: int
    after: Callable[[list[Node]], None]
    undo: str = ""


def nothing(nodes: list[Node]) -> None:
    pass


def a_vm(nodes: list[Node]) -> None:
    mcv(nodes[0], CREATE)


def a_split_vm(nodes: list[Node]) -> None:
    """web1, stopped, whose replicas were both Primary while they were apart."""
    a_vm(nodes)
    for words in (
        f"systemctl kill --signal=STOP mcvd; drbdadm disconnect {RESOURCE}",
        f"drbdadm primary --force {RESOURCE} && drbdadm secondary {RESOURCE}",
        f"drbdadm connect {RESOURCE}; systemctl kill --signal=CONT mcvd",
    ):
        for node in nodes:
            node.run(words, timeout=120)
    wait_until(lambda: "split brain" in str(told(nodes[0], "list")), 60, "the split brain")


def apart(nodes: list[Node]) -> None:
    mcv(nodes[0], "network delete lan")
    mcv(nodes[0], "cluster remove-node --node node2 --yes")


def whole_or_gone(nodes: list[Node]) -> None:
    assert is_whole(nodes) or is_gone(nodes)


def whole(nodes: list[Node]) -> None:
    assert is_whole(nodes)
    states = {node.name: reality.domain(node, "web1") for node in nodes}
    mcv(nodes[0], "start web1")
    after = {node.name: reality.domain(node, "web1") for node in nodes}
    assert after == states | {owner(nodes[0]): "running"}
    mcv(nodes[0], "stop web1")


def resolved_or_split(nodes: list[Node]) -> None:
    if not is_whole(nodes):
        mcv(nodes[0], "drbd resolve web1 --keep node1 --yes")
    whole(nodes)


def both_or_neither(nodes: list[Node]) -> None:
    users = [reality.document(node)["permissions"]["superusers"] for node in nodes]
    assert users[0] == users[1] and users[0] in ([], ["carol"])
    mcv(nodes[1], "permission add dave")
    mcv(nodes[1], "permission remove dave")


def a_member_or_none(nodes: list[Node]) -> None:
    first, second = (list(reality.document(node)["nodes"]) for node in nodes)
    assert first == second == ["node1", "node2"] or (first, second) == (["node1"], ["node2"])
    if first == ["node1"]:
        mcv(nodes[0], ADD)
    mcv(nodes[1], "permission add carol")
    mcv(nodes[0], "permission remove carol")


OPERATIONS = {
    "create": Operation(CREATE, nothing, 6, whole_or_gone),
    "delete": Operation("delete web1 --yes", a_vm, 4, whole_or_gone),
    "migrate": Operation("migrate --node node2 web1", a_vm, 4, whole),
    "resync": Operation("resync web1 --yes", a_vm, 1, whole),
    "resolve": Operation("drbd resolve web1 --keep node1 --yes", a_split_vm, 3, resolved_or_split),
    "change": Operation(
        "permission add carol", nothing, 0, both_or_neither, "permission remove carol"
    ),
    "maintenance": Operation(
        "node offline node2 --yes", nothing, 0, both_or_neither, "node online node2"
    ),
    "add-node": Operation(ADD, apart, 4, a_member_or_none),
    "remove-node": Operation(
        "cluster remove-node --node node2 --yes", nothing, 3, a_member_or_none
    ),
}
MIDDLE = {"create": 2, "delete": 1, "migrate": 1, "remove-node": 1, "add-node": 1}


COORDINATOR, PEER = 0, 1
# The deaths of a peer that make soak has alone: it has no part there, or another's is alike.
LEFT = [(PEER, name) for name in OPERATIONS if name not in ("create", "add-node")]
# Like those: a maintenance is one change of the document, as `change` is; a resync has one step;
# a deletion is finished as a migration is that has given its VM away.
ALIKE = ("resolve", "resync", "maintenance", "delete")


def points() -> Iterator[Any]:
    """Operation, step and victim of each test."""
    for name, operation in OPERATIONS.items():
        for step in range(max(1, operation.steps)):
            for victim, word in ((COORDINATOR, "coordinator"), (PEER, "peer")):
                sample = step == MIDDLE.get(name, 0) and (victim, name) not in LEFT
                sample = sample and name not in ALIKE
                marks = [] if sample else [pytest.mark.soak]
                yield pytest.param(name, step, victim, id=f"{name}-{step}-{word}", marks=marks)


@pytest.fixture
def ready(pair: list[Node]) -> Iterator[list[Node]]:
    pair[0].put(guests.idle(), "/root/web1.img")
    yield pair
    for node in pair:
        if not node.is_running:
            node.boot()
        node.run("systemctl reset-failed mcvd; systemctl start mcvd")


class Missed(AssertionError):
    """The instant went by unseen, and the command has ended."""


def caught(node: Node, operation: Operation, step: int) -> "subprocess.Popen[str]":
    """Begin an operation and return in its middle.

    A proposal is there for some milliseconds, and on a busy host the watcher may not run in
    them: then the change is taken back and made again.
    """
    if operation.steps:
        return under_way(node, operation.command, step)
    for _ in range(5):
        try:
            return under_way(node, operation.command, PROPOSED, 15)
        except Missed:
            mcv(node, operation.undo)
    raise Missed(f"five times: mcv {operation.command}")


def under_way(
    node: Node, command: str, instant: int | str, long: int = 60
) -> "subprocess.Popen[str]":
    """Begin a command and return in the middle of it: at a step, or while it is proposed."""
    node.put(WATCH.read_bytes(), "/root/watch.py")
    watcher = node.start(f"python3 -I /root/watch.py {STATE} {instant} {long}")
    assert watcher.stdout is not None and watcher.stdout.readline() == "ready\n"
    running = node.start(f"timeout 200 mcv {command} 2>&1; code=$?; echo; echo $code")
    seen, _ = watcher.communicate(timeout=90)
    if seen != "seen\n":
        raise Missed(f"not seen at {instant}: mcv {command}: {ended(running)}")
    return running


def ended(running: "subprocess.Popen[str]") -> str:
    said, _ = running.communicate(timeout=210)
    return said


@pytest.mark.parametrize(("name", "step", "victim"), list(points()))
def test_a_daemon_killed_in_the_middle(
    ready: list[Node], name: str, step: int, victim: int
) -> None:
    operation = OPERATIONS[name]
    operation.before(ready)
    running = caught(ready[0], operation, step)

    ready[victim].run(KILL)

    said = ended(running)
    assert said.split()[-1] in ("0", "1", "4"), said
    if name == "maintenance":
        wait_until(lambda: _ends_maintenance(ready), 60, "the end of the maintenance")
    settle(ready)
    operation.after(ready)
    tidy(ready)


def _ends_maintenance(nodes: list[Node]) -> bool:
    said = nodes[0].run("mcv node online node2", check=False)
    return said.code == 0 or "online already" in said.stderr


def tidy(nodes: list[Node]) -> None:
    if reality.document(nodes[0])["permissions"]["superusers"]:
        mcv(nodes[0], "permission remove carol")
    if is_whole(nodes):
        mcv(nodes[0], "delete web1 --yes")
        assert is_gone(nodes)
