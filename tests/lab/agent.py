"""Runs on a node: its drivers, called by a test as if they were in the test's own process.

Values and errors cross as pickles, one to a line: both ends run the same code.
"""

import base64
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from operator import attrgetter
from typing import Any

from mcv import settings
from mcv.daemon import Daemon
from mcv.drivers.bridge import Bridges
from mcv.drivers.drbd import Drbd
from mcv.drivers.libvirt import Hypervisor
from mcv.drivers.lvm import Lvm
from mcv.errors import McvError

# The VMs of the contract of libvirt: this file alone is on the node.
KNOWN = {
    "contract": "6d637600-0000-4000-8000-00000000000c",
    "contract-2": "6d637600-0000-4000-8000-00000000000d",
}

DOORS: dict[str, Callable[[], Any]] = {
    "domains": lambda: Hypervisor(lambda: KNOWN),
    "drbd": Drbd,
    "volumes": lambda: Lvm(settings.load().notes),
    "bridges": Bridges,
    # The node's identity and document, and nothing that runs or listens.
    "wire": lambda: Daemon(settings.load()).calls,
}


class Agent:
    """One driver, and the stream of events that is being read from it."""

    def __init__(self, door: str) -> None:
        self._door = DOORS[door]()
        self._entered: AbstractContextManager[Iterator[Any]] | None = None
        self._stream: Iterator[Any] = iter(())

    def call(self, verb: str, *arguments: Any, **named: Any) -> Any:
        return attrgetter(verb)(self._door)(*arguments, **named)

    def enter(self, verb: str, *arguments: Any) -> None:
        self._entered = self.call(verb, *arguments)
        self._stream = self._entered.__enter__()

    def next(self) -> Any:
        """The next of the stream, None at its end."""
        return next(self._stream, None)

    def leave(self) -> None:
        if self._entered is not None:
            self._entered.__exit__(None, None, None)


def pack(value: Any) -> str:
    return base64.b64encode(pickle.dumps(value)).decode() + "\n"


def unpack(line: str) -> Any:
    return pickle.loads(base64.b64decode(line))


def main() -> None:
    agent = Agent(sys.argv[1])
    for line in sys.stdin:
        what, arguments, named = unpack(line)
        answer: tuple[Any, McvError | None]
        try:
            answer = getattr(agent, what)(*arguments, **named), None
        except McvError as error:
            answer = None, error
        sys.stdout.write(pack(answer))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
