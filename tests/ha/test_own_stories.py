"""Stories of our own in the same format, with faults that the other product's have not.

Each ends as it is written here, and is safe whatever call the manager is killed at.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec import structs

from mcv.rules.ha import fencing
from mcv.rules.ha.round import Round
from mcv.rules.ha.snapshot import NodeSeen
from mcv.rules.ha.status import NodeStatus
from tests.ha import stories, story_manager, story_worker
from tests.ha.stories import Story
from tests.ha.story_play import Played, play

ALL_ON = "power node1 on; power node2 on; power node3 on"
HOME = {"vm:1": "node1", "vm:2": "node2", "vm:3": "node3"}
N3_LOST = {**HOME, "vm:3": "node1"}


class Told(NamedTuple):
    """A story: batches, where all runs in the end, who was fenced, how often something moved."""

    batches: tuple[str, ...]
    where: dict[str, str] = HOME
    fenced: str = ""
    moves: int = 0
    blocked: str = ""  # the one that no node can run


STORIES = {
    "a host dies": Told(("power node3 off",), N3_LOST, "node3", 1),
    "the manager's host dies": Told(("power node1 off",), {**HOME, "vm:1": "node2"}, "node1", 1),
    "a host is cut off": Told(("network node3 off",), N3_LOST, "node3", 1),
    "a host is not heard, and hears": Told(
        ("link node3 node1 down; link node3 node2 down",), N3_LOST, "node3", 1
    ),
    "a device switches it off": Told(
        ("fence-device node3 ok; network node3 off",), N3_LOST, "node3", 1
    ),
    "a device hangs, and the lease ends": Told(
        ("fence-device node3 hang; network node3 off",), N3_LOST, "node3", 1
    ),
    "an untested plug is another node's": Told(
        ("fence-device node3 wrong-plug untested; freeze node3 60",), N3_LOST, "node3", 1
    ),
    "a device lies of a host that wakes": Told(
        ("crm node1 stop", "fence-device node1 lie; freeze node1 11")
    ),
    "a host is frozen for a moment": Told(("freeze node3 10",)),
    "a host is frozen for long": Told(("freeze node3 60",), N3_LOST, "node3", 1),
    "a fenced host comes back": Told(("network node3 off", "power node3 on"), N3_LOST, "node3", 1),
    "the clock of the manager's host leaps": Told(
        ("clock node1 +40",), {**HOME, "vm:1": "node2"}, "node1", 1
    ),
    "the clock of the manager's host leaps a little": Told(("clock node1 +9",)),
    "one etcd is killed": Told(("etcd node2 kill",)),
    "mcvd hangs on a host": Told(("cfs node3 rw fail", "cfs node3 rw work")),
    "mcvd hangs on the manager's host as another dies": Told(
        ("cfs node1 rw fail; power node3 off", "cfs node1 rw work"),
        {**HOME, "vm:3": "node2"},
        "node3",
        1,
    ),
    "the power fails, and one host does not return": Told(
        (
            "power node1 off; power node2 off; power node3 off",
            "power node1 on; power node2 on",
            "delay 0",
        ),
        N3_LOST,
        "node3",
        1,
    ),
    "all are shut down in order, and one starts late": Told(
        (
            "shutdown node1; shutdown node2; shutdown node3",
            "power node1 on; power node2 on",
            "power node3 on",
        )
    ),
    "all are shut down in order, and one does not return": Told(
        (
            "shutdown node1; shutdown node2; shutdown node3",
            "power node1 on; power node2 on",
            "delay 0",
        ),
        N3_LOST,
        "node3",
        1,
    ),
    "the power fails, and all return": Told(
        (
            "power node1 off; power node2 off; power node3 off",
            "power node1 on; power node2 on; power node3 on",
        )
    ),
    "a host is shut down for good": Told(("shutdown node3", "delay 0"), N3_LOST, "node3", 1),
    "a host is rebooted": Told(("reboot node3",)),
    "the newest data is on the host that died": Told(
        ("replica vm:3 node1 behind; power node3 off", "delay 0"),
        fenced="node3",
        blocked="vm:3",
    ),
    "the host with the newest data comes back": Told(
        ("replica vm:3 node1 Outdated; power node3 off", "power node3 on"), fenced="node3"
    ),
    "the only other replica is on the node with most guests": Told(
        ("replica vm:3 node2 ok; power node3 off",), {**HOME, "vm:3": "node2"}, "node3", 1
    ),
    "a host is drained and restored": Told(
        ("crm node3 enable-node-maintenance", "crm node3 disable-node-maintenance"), moves=2
    ),
}


def story_of(directory: Path, batches: tuple[str, ...]) -> Story:
    """The story as it is read from a directory."""
    off = {"power": "off", "network": "off"}
    commands = [batch.split("; ") for batch in (ALL_ON, *batches)]
    services = {name: {"node": node, "state": "started"} for name, node in HOME.items()}
    for name, value in {
        "cmdlist": commands,
        "hardware_status": dict.fromkeys(HOME.values(), off),
        "manager_status": {},
        "service_config": services,
    }.items():
        (directory / name).write_text(json.dumps(value))
    return stories.read(directory)


def played(directory: Path, batches: tuple[str, ...]) -> Played:
    return play(story_of(directory, batches), after=200)


def ends_as(played: Played, expected: Told) -> None:
    log = "\n".join(played.log)
    assert not played.violation, f"{played.violation}\n{log}"
    where = {
        name: ("recovery" if name == expected.blocked else "started", node)
        for name, node in expected.where.items()
    }
    assert played.outcome.services == where, log
    assert " ".join(sorted(played.outcome.fenced)) == expected.fenced, log
    assert played.outcome.relocations == expected.moves, log


@pytest.mark.parametrize("name", STORIES)
def test_it_ends_as_it_should(name: str, tmp_path: Path) -> None:
    ends_as(played(tmp_path, STORIES[name].batches), STORIES[name])


@pytest.mark.parametrize(
    "name", ["a host dies", "a device switches it off", "a host is drained and restored"]
)
def test_a_manager_killed_at_any_call_leaves_the_same_to_the_next(
    name: str, tmp_path: Path
) -> None:
    first, *rest = STORIES[name].batches
    for call in range(28):
        batches = (f"crash node1 at {call}; {first}", *rest)

        ends_as(played(tmp_path, batches), STORIES[name])


@pytest.mark.parametrize(
    ("name", "guest", "within"),
    [
        ("a host dies", "vm:3", 30),
        ("the manager's host dies", "vm:1", 30),
        ("a device switches it off", "vm:3", 21),
    ],
)
def test_it_runs_again_in_time(name: str, guest: str, within: int, tmp_path: Path) -> None:
    """From the fault at 120 s, with 3 s for the start itself."""
    log = played(tmp_path, STORIES[name].batches).log

    again = [float(line.split()[0]) for line in log if f" {guest} runs on " in line][1]
    assert again - 120 <= within, "\n".join(log)


# What the look at the truth finds where a clause is left out


def is_unsafe(name: str, tmp_path: Path) -> bool:
    return bool(played(tmp_path, STORIES[name].batches).violation)


def test_an_untested_plug_that_counts_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judged(this: Round, seen: NodeSeen, was: NodeStatus) -> fencing.Judged:
        return about(this, structs.replace(seen, can_fence=True), was)

    about = fencing.about
    monkeypatch.setattr(fencing, "about", judged)

    assert is_unsafe("an untested plug is another node's", tmp_path)


def test_a_lease_that_counts_too_early_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fencing, "is_over", lambda this, seen, was: True)

    assert is_unsafe("a host is cut off", tmp_path)


def test_a_start_without_a_look_at_the_lease_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(cluster, host, name):  # type: ignore[no-untyped-def]
        host.lease_until = 1.0
        return "done" if cluster.start(name, host.name) else "failed"

    monkeypatch.setattr(story_worker, "_start", start)

    assert is_unsafe("a host dies", tmp_path)


LIES = "a device lies of a host that wakes"


def believe_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off counts, whatever the lease has done since the fencing began."""

    def after_off(this: Round, seen: NodeSeen, was: NodeStatus) -> fencing.Judged:
        return fencing.declared(this, seen, was, "off", "off")

    monkeypatch.setattr(fencing, "is_wrong_plug", lambda seen, was: False)
    monkeypatch.setattr(fencing, "after_off", after_off)


def compare_no_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story_manager, "is_unchanged", lambda cluster, action: True)


def test_a_lying_device_that_is_believed_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    believe_the_device(monkeypatch)
    compare_no_lease(monkeypatch)

    assert is_unsafe(LIES, tmp_path)


@pytest.mark.parametrize("left_out", [believe_the_device, compare_no_lease])
def test_one_comparison_of_the_lease_is_enough(
    left_out: Callable[[pytest.MonkeyPatch], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left_out(monkeypatch)

    assert not is_unsafe(LIES, tmp_path)
