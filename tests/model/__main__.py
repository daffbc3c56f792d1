"""Walks without end: `python -m tests.model SECONDS`, or one history: `… --seed SEED`."""

import argparse
import secrets
import sys
import time
from collections import Counter

from tests.model.bugs import PLANTED
from tests.model.play import History, play, shrink


def main() -> None:
    """Play fresh seeds for so many seconds; tell every violation, shrunk, and exit 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("seconds", type=float, nargs="?", default=0.0)
    parser.add_argument("--seed", help="play this one history and show it")
    parser.add_argument("--lies", action="store_true", help="the operator of --seed lies")
    parser.add_argument("--steps", type=int, default=60, help="of each walk")
    parser.add_argument("--find", choices=PLANTED, help="look for seeds that find a planted bug")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        history = play(arguments.seed, lies=arguments.lies, steps=arguments.steps)
        print(history.told(1000))
        sys.exit(history.violation is not None)
    if arguments.find:
        find(arguments.find, arguments.seconds)
    else:
        soak(arguments.seconds, arguments.steps)


def soak(seconds: float, steps: int) -> None:
    until = time.monotonic() + seconds
    run, count = secrets.token_hex(4), Counter[str]()
    while time.monotonic() < until:
        number = count["walks"]
        lies = number % 4 == 3
        history = play(f"{run}-{number}", lies=lies, steps=steps)
        count.update(walks=1, steps=history.steps + 1, turns=history.turns)
        count.update(history.outcomes)
        if history.violation is not None:
            count["violations"] += 1
            _tell(history, lies)
    for what in ("walks", "steps", "turns", "violations"):
        print(f"{what}: {count.pop(what, 0)}")
    print(", ".join(f"{what}: {number}" for what, number in sorted(count.items())))
    sys.exit(count["violations"] > 0)


def _tell(history: History, lies: bool) -> None:
    again = f"python -m tests.model --seed {history.seed}{' --lies' if lies else ''}"
    print(f"{history.violation}\n  again: {again} --steps {history.steps + 1}", flush=True)
    print(shrink(history, lies=lies).told(), flush=True)


def find(name: str, seconds: float) -> None:
    """The first seeds with which a planted bug is found, and only with it."""
    plant, _, lies = PLANTED[name]
    until, number = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        number += 1
        with_it = play(str(number), plant, lies=lies)
        if with_it.violation and play(str(number), lies=lies).violation is None:
            print(f"{number}: {with_it.steps + 1} steps: {with_it.violation}", flush=True)


if __name__ == "__main__":
    main()
