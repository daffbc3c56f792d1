"""The real doors of a node, driven from a test: mcv's drivers run there, under its Python."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.lab import LabError, Node
from tests.lab.agent import pack, unpack

AGENT = Path(__file__).parent / "agent.py"
LONGEST = 60.0  # seconds that one call may take


class RemoteDoor:
    """A driver on a node; its methods are called by name, errors are raised here."""

    def __init__(self, node: Node, door: str) -> None:
        self._node = node
        path = f"/root/agent-{door}.py"
        node.put(AGENT.read_bytes(), path)
        self._process = node.start(f"/opt/mcv/bin/python3 -u {path} {door}")

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        return lambda *arguments, **named: self._ask("call", verb, *arguments, **named)

    @contextlib.contextmanager
    def events(self, resource: str) -> Iterator[Iterator[Any]]:
        self._ask("enter", "events", resource)
        try:
            yield iter(lambda: self._ask("next"), None)
        finally:
            self._ask("leave")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _ask(self, what: str, *arguments: Any, **named: Any) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        limit = threading.Timer(LONGEST, self._process.kill)
        limit.start()
        try:
            stdin.write(pack((what, arguments, named)))
            stdin.flush()
            line = stdout.readline()
        finally:
            limit.cancel()
        if not line:
            complaint = self._process.communicate()[1]
            raise LabError(f"{self._node.name}: {what} {arguments} had no answer: {complaint}")
        answer, error = unpack(line)
        if error is not None:
            raise error
        return answer
