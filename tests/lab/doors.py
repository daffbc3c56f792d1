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


class RemoteVerb:
    """A method of a driver, or a part of it that has methods; `path` is its dotted name."""

    def __init__(self, ask: Callable[..., Any], path: str) -> None:
        self._ask = ask
        self._path = path

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._ask("call", self._path, *arguments, **named)

    def __getattr__(self, verb: str) -> "RemoteVerb":
        return RemoteVerb(self._ask, f"{self._path}.{verb}")

    def events(self, resource: str) -> contextlib.AbstractContextManager[Iterator[Any]]:
        """What a verification says."""
        return self._stream("events", resource)

    def watched(self, name: str) -> contextlib.AbstractContextManager[Iterator[Any]]:
        """Looks whether a domain has been reset."""
        return self._stream("watched", name)

    @contextlib.contextmanager
    def _stream(self, verb: str, *arguments: Any) -> Iterator[Iterator[Any]]:
        """A stream is read as it comes, and left when the context is."""
        self._ask("enter", f"{self._path}.{verb}", *arguments)
        try:
            yield iter(lambda: self._ask("next"), None)
        finally:
            self._ask("leave")


class RemoteDoor:
    """A driver on a node; its methods are called by name, errors are raised here."""

    def __init__(self, node: Node, door: str) -> None:
        self._node = node
        path = f"/root/agent-{door}.py"
        node.put(AGENT.read_bytes(), path)
        self._process = node.start(f"/opt/mcv/bin/python3 -u {path} {door}")

    def __getattr__(self, verb: str) -> "RemoteVerb":
        return RemoteVerb(self._ask, verb)

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
