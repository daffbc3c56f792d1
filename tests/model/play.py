"""One history from its seed: a world, a walk through it, and peace at its end."""

import logging
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.model.checks import Violation
from tests.model.contact import Contact
from tests.model.convergence import Convergence
from tests.model.network import Conditions
from tests.model.walk import Walk
from tests.model.world import World

STEPS = 60
MEMORY = Path("/dev/shm")
Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass
class History:
    """What came of one seed."""

    seed: str
    steps: int
    turns: int
    outcomes: dict[str, int]
    log: list[str]
    violation: Violation | None

    def told(self, lines: int = 80) -> str:
        """The violation, its seed and what led to it."""
        tail = "\n".join(self.log[-lines:])
        return f"{self.violation}\nseed {self.seed}, step {self.steps}\n{tail}"


class Alarm(logging.Handler):
    """Real daemons log an internal error and go on; here it is a violation."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            why = logging.Formatter().formatException(record.exc_info)
            self._world.checks.fail("internal error", f"{record.getMessage()}: {why}")


def play(
    seed: str,
    plant: Plant | None = None,
    *,
    lies: bool = False,
    steps: int = STEPS,
    skip: frozenset[int] = frozenset(),
) -> History:
    """Play the history of a seed, with a bug planted in the real code or none.

    Each step draws from a seed of its own, so that leaving some out changes little of the
    others.
    """
    count = random.Random(f"{seed} nodes").choice([2, 2, 3, 3, 3, 4, 5])
    names = [f"n{number + 1}" for number in range(count)]
    directory = MEMORY if MEMORY.is_dir() else None
    log = logging.getLogger()
    with (
        tempfile.TemporaryDirectory(dir=directory) as path,
        pytest.MonkeyPatch.context() as patch,
    ):
        world = World(Path(path), seed, names, patch)
        world.lies = lies
        world.network.conditions = Conditions.drawn(random.Random(f"{seed} weather"))
        walk = Walk(world)
        alarm = Alarm(world)
        log.addHandler(alarm)
        violation = None
        step = 0
        try:
            world.scheduler.run(8.0, walk.after)
            world.load = 0.2
            if plant is not None:
                plant(patch)
            for step in range(steps):
                if step in skip:
                    continue
                world.chance.seed(f"{seed} {step}")
                walk.step()
            world.chance.seed(f"{seed} peace")
            (Contact(walk) if lies else Convergence(walk)).make()
        except Violation as found:
            violation = found
        finally:
            log.removeHandler(alarm)
            for node in world.nodes.values():
                if node.daemon is not None:
                    world.crash(node.name, host=False)
            world.scheduler.close()
    return History(seed, step, world.scheduler.turns, world.outcomes, world.log, violation)


def shrink(history: History, plant: Plant | None = None, *, lies: bool = False) -> History:
    """The same kind of violation with as many steps left out as can be."""
    assert history.violation is not None
    best, skip = history, frozenset[int]()
    size = max(1, history.steps // 2)
    while size:
        for start in range(0, history.steps, size):
            tried = skip | frozenset(range(start, min(start + size, history.steps)))
            if tried == skip:
                continue
            again = play(history.seed, plant, lies=lies, steps=best.steps + 1, skip=tried)
            same = again.violation is not None and again.violation.kind == history.violation.kind
            if same:
                best, skip = again, tried
        size //= 2
    return best
