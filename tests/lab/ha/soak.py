"""Faults at random, for as long as it is told: `make soak-ha SECONDS=3600`.

A guest that high availability manages writes numbered blocks; QEMU processes are watched from
outside of the nodes. Hosts are killed, cut off and frozen, their daemons stopped and killed, and
several of that at once. At no moment may the guest run twice. After each turn all is mended: it has
to run again then, by nobody's word, and every block that it was told is written has to be there.
"""

import argparse
import secrets
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab import Lab, LabError, Node, reality, wait_until
from tests.lab.cluster import mcv
from tests.lab.evidence import FAILURES, keep_evidence
from tests.lab.ha.faults import Faults
from tests.lab.ha.fenced import powered
from tests.lab.ha.schedule import Turn, moments, turns
from tests.lab.ha.trio import RESOURCE, VM, WITNESS, Observed, Trio, all_hold, are_online
from tests.lab.host import Place
from tests.lab.image import Image
from tests.lab.power import Power

CALM = 480.0  # s from the mending until all is well: two boots, the grace of a start, a start
LIMITS = "--max-restarts 1000 --max-relocates 1000 --window 60"


class Broken(Exception):
    """A promise that was not kept."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.ha.soak", description=__doc__)
    parser.add_argument("seconds", type=float, help="no turn begins later")
    parser.add_argument("--seed", type=int, help="draw the faults of an earlier run")
    parser.add_argument("--turn", type=int, default=1, help="begin with this turn of theirs")
    asked, place = parser.parse_args(), Place.from_environment()
    seed = secrets.randbelow(1 << 32) if asked.seed is None else asked.seed
    print(f"seed {seed}; again: make soak-ha SECONDS={asked.seconds:.0f} SEED={seed}", flush=True)
    try:
        with Lab(place.beside("ha"), Image(place.directory / "base")) as lab:
            return _run(lab, asked.seconds, seed, asked.turn)
    except LabError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1


def _run(lab: Lab, seconds: float, seed: int, first: int) -> int:
    trio = Trio(lab.up(WITNESS - 1), lab.node(WITNESS))
    with _managed(lab, trio) as power, trio.observed() as seen, _listening(seen):
        faults = Faults(trio.nodes, power)
        until, played = time.monotonic() + seconds, 0
        for turn in turns(seed, [node.name for node in trio.nodes], first):
            if time.monotonic() > until:
                break
            try:
                play(turn, faults, seen)
            except (Broken, AssertionError, LabError) as error:
                print(f"Turn {turn.number} of seed {seed}: {error}", file=sys.stderr, flush=True)
                for node in trio.nodes:
                    keep_evidence(node, FAILURES / "soak-ha", since=0)
                return 1
            played += 1
        print(
            f"{played} turns: {VM} never ran twice, and {seen.acknowledged.last} blocks are there"
        )
    return 0


@contextmanager
def _managed(lab: Lab, trio: Trio) -> Iterator[Power]:
    """web1 is managed, and every node has a tested plug."""
    one, two, three = trio.nodes
    trio.make_new()
    trio.store_in_etcd()
    with powered(lab, trio, trio.nodes) as power:
        for node, asked in ((two, one), (three, one), (one, two)):
            mcv(asked, f"fence test {node.name} --off --yes", timeout=600)
            wait_until(lambda: are_online(trio.nodes), 120, "all nodes to be online")
        trio.arm()
        trio.create()
        mcv(one, f"ha add {VM} {LIMITS}")
        yield power


def play(turn: Turn, faults: Faults, seen: Observed) -> None:
    """One turn, and the calm after it. Raises Broken where a promise was not kept."""
    began = time.monotonic()
    print(f"turn {turn.number}", flush=True)
    for moment in moments(turn):
        while (left := began + moment.at - time.monotonic()) > 0:
            _require_once(seen)
            time.sleep(min(left, 0.5))
        words = f"{moment.fault.words}: over" if moment.is_end else moment.fault.words
        try:
            (faults.end if moment.is_end else faults.begin)(moment.fault)
        except LabError as error:
            words += f" (not so: {str(error).splitlines()[0]})"
        print(f"  {time.monotonic() - began:5.1f} s  {words}", flush=True)
    faults.mend()
    mended = time.monotonic()
    node = _await_calm(seen)
    seen.require_nothing_lost(node)
    print(
        f"  {time.monotonic() - began:5.1f} s  all is well {time.monotonic() - mended:.0f} s after "
        f"the mending: {VM} on {node.name}, at block {seen.acknowledged.last}",
        flush=True,
    )


def _require_once(seen: Observed) -> None:
    if seen.watcher.twice:
        raise Broken(f"{VM} ran twice: {seen.watcher.twice[:5]}")


def _await_calm(seen: Observed) -> Node:
    """The node where the guest runs, once all nodes are well and it writes."""
    trio, until = seen.trio, time.monotonic() + CALM
    while time.monotonic() < until:
        _require_once(seen)
        try:
            owner, *_ = trio.in_roles()
            if _is_well(trio, owner):
                seen.wait_for_writes(owner, number=5, timeout=60)
                return owner
        except (LabError, AssertionError, KeyError, ValueError):
            pass  # a node is not up yet
        time.sleep(2)
    raise Broken(f"{CALM:.0f} s after all was mended it is not well: {_state(trio)}")


def _is_well(trio: Trio, owner: Node) -> bool:
    return (
        are_online(trio.nodes)
        and all_hold(trio.nodes)
        and reality.domain(owner, VM) == "running"
        and all(reality.is_in_step(node, RESOURCE) for node in trio.nodes[:2])
    )


def _state(trio: Trio) -> str:
    """What the cluster itself says of it."""
    asked = next((node for node in trio.nodes if node.is_running), None)
    if asked is None:
        return "no node is on"
    try:
        return asked.run("mcv ha list; mcv ha status; mcv info", check=False, timeout=120).stdout
    except LabError as error:
        return str(error)


@contextmanager
def _listening(seen: Observed) -> Iterator[None]:
    """Listen to each node anew as soon as it is up again, by whomever it was switched on."""
    is_over = threading.Event()
    threads = [
        threading.Thread(target=_listen, args=(seen, node, is_over), daemon=True)
        for node in seen.trio.nodes
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join(30)


def _listen(seen: Observed, node: Node, is_over: threading.Event) -> None:
    heard = node.life
    while not is_over.wait(1):
        life = node.life
        if not life or (life == heard and seen.watcher.hears(node)):
            continue
        try:
            if life == heard:
                node.run("true", timeout=10)
            else:
                node.reach(60)
            seen.rebooted(node)
            heard = life
        except LabError:
            continue  # frozen, or off again


if __name__ == "__main__":
    sys.exit(main())
