"""Make a bare Debian 12 in a directory, clone HEAD into it, and run the demo and tests there."""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tests.fresh.machine import TREE, Failed, Machine, Refused

TREE_THERE = "/root/mcv"
# The demo's lab, image and all; its tests are the ones of the lab itself and of `make install`.
TESTS = "LAB=/var/tmp/mcv-lab-demo .venv/bin/pytest tests/lab/test_lab.py tests/lab/test_install.py"
STEPS = {"make demo": "make demo", "the lab's own tests": TESTS}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.fresh", description=__doc__)
    parser.add_argument("--keep", metavar="DIR", help="make it in DIR and leave it there")
    parser.add_argument("--enter", metavar="DIR", help="a shell in one that was kept")
    asked = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        if asked.enter:
            enter(Machine(_directory(asked.enter)))
        else:
            require()
            play(_directory(asked.keep) if asked.keep else None)
    except (Refused, Failed, subprocess.CalledProcessError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def require() -> None:
    if os.geteuid() != 0:
        raise Refused("make fresh needs root: it makes namespaces and mounts in them.")
    if not os.path.exists("/dev/net/tun"):
        raise Refused("make fresh needs /dev/net/tun. Try: modprobe tun")


def play(keep: Path | None) -> None:
    """All steps from a bare directory to the last test; the first that fails ends it."""
    began = time.monotonic()
    print("fresh: making a bare Debian 12", flush=True)
    with Machine.made(keep) as machine:
        print(f"fresh: made in {_passed(began)}: {machine.directory}", flush=True)
        if keep:
            print(f"fresh: a shell in it: python3 -m tests.fresh --enter {keep}", flush=True)
        machine.clone()
        for title, command in STEPS.items():
            with timed(title):
                step(machine, command)
    print(f"fresh: all is well on a bare Debian 12. It took {_passed(began)}.")


def step(machine: Machine, command: str) -> None:
    try:
        machine.run("sh", "-c", f"cd {TREE_THERE} && {command}")
    except Failed:
        machine.keep_evidence()
        raise


def enter(machine: Machine) -> None:
    if not machine.root.exists():
        raise Refused(f"There is no fresh machine in {machine.directory}.")
    machine.run("bash", "--login", terminal=True)


@contextmanager
def timed(title: str) -> Iterator[None]:
    began = time.monotonic()
    print(f"fresh: {title}", flush=True)
    yield
    print(f"fresh: {title}: {_passed(began)}", flush=True)


def _stop(number: int, _: FrameType | None) -> None:
    """End in good order, once: what comes after the first signal is not to stop the clearing."""
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _directory(name: str) -> Path:
    """Names are relative to the tree, as make's are."""
    return (TREE / name).resolve()


def _passed(began: float) -> str:
    minutes, seconds = divmod(int(time.monotonic() - began), 60)
    return f"{minutes} min {seconds} s"


if __name__ == "__main__":
    sys.exit(main())
