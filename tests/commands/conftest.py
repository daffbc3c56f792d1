"""The command line, spoken through click to a daemon that answers as it was told to."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from click.testing import CliRunner

from mcv.commands import session as sessions
from mcv.commands.root import front
from mcv.commands.session import Session
from mcv.errors import McvError
from mcv.rpc.client import Client, Progress


@dataclass
class FakeDaemon:
    """Answers each operation as scripted; what is scripted with `job` is followed first.

    An answer may be a value, an error, or a function of the parameters.
    """

    answers: dict[str, Any] = field(default_factory=dict)
    progress: list[Progress] = field(default_factory=list)
    interrupts: bool = False
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    _jobs: dict[str, Any] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.Lock)

    def job(self, operation: str, answer: Any) -> None:
        """Script an operation that answers with a job, which then ends in `answer`."""

        def begin(params: dict[str, Any]) -> Any:
            id = f"job{len(self._jobs) + 1}"
            self._jobs[id] = lambda: told(answer, params)
            return {"job": id, "node": "n1"}

        self.answers[operation] = begin

    def call(self, operation: str, /, **params: Any) -> Any:
        with self._lock:
            self.calls.append((operation, params))
            return told(self.answers.get(operation, {}), params)

    def follow(
        self,
        job: str,
        node: str,
        progress: Callable[[Progress], None] | None = None,
        through_stalls: bool = False,
    ) -> Any:
        for one in self.progress:
            if progress:
                progress(one)
        if self.interrupts:
            self.interrupts = False
            raise KeyboardInterrupt
        return self._jobs[job]()

    def asked(self, operation: str) -> list[dict[str, Any]]:
        """The parameters of every call of an operation."""
        return [params for name, params in self.calls if name == operation]


def told(answer: Any, params: dict[str, Any]) -> Any:
    if callable(answer):
        answer = answer(params)
    if isinstance(answer, McvError):
        raise answer
    return answer


@dataclass(frozen=True)
class Heard:
    """What a command line ended in."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        return json.loads(self.err)


Speak = Callable[..., Heard]


@pytest.fixture
def daemon() -> FakeDaemon:
    return FakeDaemon()


@pytest.fixture
def mcv(daemon: FakeDaemon) -> Speak:
    """Speak a command line as words: `mcv("start web1", "--yes")`."""

    def speak(*words: str, typed: str = "") -> Heard:
        spoken = [part for word in words[:1] for part in word.split()] + list(words[1:])
        session = Session(cast(Client, daemon))
        result = CliRunner().invoke(front, spoken, obj=session, input=typed, prog_name="mcv")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Heard(result.exit_code, result.stdout, result.stderr)

    return speak


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sits there and can be asked."""
    monkeypatch.setattr(sessions, "has_terminal", lambda: True)


def a_vm(name: str = "web1", **different: Any) -> dict[str, Any]:
    vm = {
        "name": name,
        "state": "running",
        "node": "n1",
        "nodes": ["n1", "n2"],
        "memory": 512 * 1024**2,
        "cpus": 2,
        "storage": "drbd",
        "locked": False,
        "attention": None,
        "findings": [],
    }
    return {**vm, **different}
