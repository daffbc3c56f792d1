"""Steps of a demo: shown one after the other, and what each says is looked at."""

import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from tests.lab import LabError, Node
from tests.lab.terminal import Terminal

S = TypeVar("S")


class Untrue(Exception):
    """A step did not do what it says."""


def claim(said: str, is_so: object, seen: object = "") -> None:
    """Say what was found to be so, or end the demo with what was seen instead."""
    if not is_so:
        raise Untrue(f"It is not so that {said}." + (f" Seen: {seen}" if seen != "" else ""))
    print(f"    found: {said}", flush=True)


def typed(node: Node, command: str, code: int = 0, timeout: float = 120) -> str:
    """Type a command on a node; the demo ends if it does not exit as it should."""
    found, said = Terminal(node).run(command, timeout)
    if found != code:
        raise Untrue(f"`{command}` on {node.name} exited with {found}, not with {code}.")
    return said


def play(stage: S, steps: Sequence[Callable[[S], None]]) -> bool:
    """All steps, one after the other; False, told why, at the first that is not so."""
    for number, step in enumerate(steps, 1):
        print(f"\n{number}. {step.__doc__}\n", flush=True)
        try:
            step(stage)
        except (Untrue, LabError, AssertionError) as error:
            print(f"\nStep {number} ({step.__doc__}) failed: {error}", file=sys.stderr, flush=True)
            return False
    return True


def passed(began: float) -> str:
    """How long it is since a time.monotonic(), in words."""
    minutes, seconds = divmod(int(time.monotonic() - began), 60)
    return re.sub(r"^0 min ", "", f"{minutes} min {seconds} s")
