"""Fence agents: programs that switch a host's power, by the contract of Debian's fence-agents.

What an agent is told are lines of `key=value` on its standard input, never arguments, which every
user of the host sees. It answers by its exit code: 0 done, or on; 2 off, for `status`.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, auto
from pathlib import Path
from typing import Protocol

from mcv.drivers import fence_metadata
from mcv.drivers.fence_metadata import Metadata
from mcv.errors import CommandFailed, NotFound, Refused, in_words
from mcv.printable import line
from mcv.system import process
from mcv.system.process import Ended, last_words

DIRECTORY = Path("/usr/sbin")
NAME = re.compile(r"fence_[a-z0-9_]+")
MASK = "********"

# Seconds. An agent gives its device 20 s to switch, and 5 to let it log in.
TIMEOUTS = {"off": 30.0, "on": 30.0, "status": 20.0, "monitor": 20.0, "metadata": 10.0}

WORDS = 300  # characters of an agent's complaint that are told
ROOT = (0, os.geteuid())  # whose a program may be: root's; the tests are not root
OTHERS = stat.S_IWGRP | stat.S_IWOTH

Watch = Callable[[], None]


class Power(StrEnum):
    """What a device says of a plug."""

    ON = auto()
    OFF = auto()
    UNKNOWN = auto()


class Start(Protocol):
    """How agents are started; see process.ended."""

    def __call__(
        self, *command: str, stdin: str = "", timeout: float = 60, watch: Watch | None = None
    ) -> Ended: ...


@dataclass(frozen=True)
class Instance:
    """A plug of a device as an agent is told of it; `secrets` are in no text about it."""

    agent: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    port: str = ""


class FenceAgents:
    """Starts the fence agents of this host."""

    def __init__(self, directory: Path = DIRECTORY, start: Start = process.ended) -> None:
        self._directory = directory
        self._start = start
        self._known: dict[str, tuple[tuple[int, int], Metadata]] = {}

    def metadata(self, agent: str) -> Metadata:
        """What an agent tells of itself; asked once for each version of it.

        Raises Refused for what is no agent of this host's root; CommandFailed.
        """
        path = self._program(agent)
        with in_words(path):
            now = path.stat()
        version = (now.st_ino, now.st_mtime_ns)
        known = self._known.get(agent)
        if known is None or known[0] != version:
            told = self._start(str(path), stdin="action=metadata\n", timeout=TIMEOUTS["metadata"])
            if told.code != 0:
                raise CommandFailed(_failed(agent, "metadata", told, ()))
            known = self._known[agent] = (version, fence_metadata.parse(told.out, agent))
        return known[1]

    def stdin(self, instance: Instance, action: str, masked: bool = False) -> str:
        """What an agent reads; secrets are masked for human eyes."""
        plug = self.metadata(instance.agent).plug
        lines = [f"action={action}", *(f"{key}={value}" for key, value in _plain(instance))]
        lines += [f"{key}={MASK if masked else value}" for key, value in instance.secrets.items()]
        if instance.port and plug and action != "monitor":
            lines.append(f"{plug}={instance.port}")
        return "".join(f"{text}\n" for text in lines)

    def off(self, instance: Instance, watch: Watch | None = None) -> None:
        """Switch a plug off; raises CommandFailed unless the agent says that it has."""
        self._do(instance, "off", watch)

    def on(self, instance: Instance, watch: Watch | None = None) -> None:
        """Switch a plug on; raises CommandFailed unless the agent says that it has."""
        self._do(instance, "on", watch)

    def status(
        self,
        instance: Instance,
        watch: Watch | None = None,
        timeout: float = TIMEOUTS["status"],
    ) -> Power:
        """Whether a plug is on; raises CommandFailed where its device does not say."""
        done = self._ask(instance, "status", timeout, watch)
        if done.code not in (0, 2):
            raise CommandFailed(_failed(instance.agent, "status", done, _words(instance)))
        return Power.OFF if done.code == 2 else Power.ON

    def monitor(self, instance: Instance) -> None:
        """Raises CommandFailed where a device does not answer; 2 is a device that is well too."""
        done = self._ask(instance, "monitor", TIMEOUTS["monitor"], None)
        if done.code not in (0, 2):
            raise CommandFailed(_failed(instance.agent, "monitor", done, _words(instance)))

    def _do(self, instance: Instance, action: str, watch: Watch | None) -> None:
        done = self._ask(instance, action, TIMEOUTS[action], watch)
        if done.code != 0:
            raise CommandFailed(_failed(instance.agent, action, done, _words(instance)))

    def _ask(self, instance: Instance, action: str, timeout: float, watch: Watch | None) -> Ended:
        self._require_known(instance)
        path = self._program(instance.agent)
        text = self.stdin(instance, action)
        return self._start(str(path), stdin=text, timeout=timeout, watch=watch)

    def _require_known(self, instance: Instance) -> None:
        """An agent logs the whole line of a parameter that it does not know, a password too."""
        known = self.metadata(instance.agent).parameters
        names = [*instance.parameters, *instance.secrets]
        if lost := [name for name in names if name not in known or fence_metadata.why_not(name)]:
            raise CommandFailed(
                f"{instance.agent} of this host has no parameter {' and no '.join(lost)}.",
                "Give every node the same version of fence-agents.",
            )

    def _program(self, agent: str) -> Path:
        """The agent's file: root's, in a directory of root's, writable by nobody else."""
        if not NAME.fullmatch(agent):
            raise Refused(f"{agent!r} is no name of a fence agent.", "It is fence_ and a-z 0-9 _.")
        path = self._directory / agent
        if not path.exists():
            raise NotFound(
                f"This host has no {path}.", "Fence agents come with: apt install fence-agents"
            )
        with in_words(path):
            real = path.resolve()
            for place in (path.parent, real, real.parent):
                if why := _why_not_roots(place):
                    raise Refused(f"{agent} is not run: {place} {why}.")
            if not (stat.S_ISREG(real.stat().st_mode) and os.access(real, os.X_OK)):
                raise Refused(f"{agent} is not run: {real} is no program.")
        return path


def _plain(instance: Instance) -> Iterator[tuple[str, str]]:
    return ((key, value) for key, value in instance.parameters.items())


def _why_not_roots(path: Path) -> str:
    now = path.stat()
    if now.st_uid not in ROOT:
        return f"belongs to the user {now.st_uid}"
    return "can be written by others than root" if now.st_mode & OTHERS else ""


def _words(instance: Instance) -> tuple[str, ...]:
    """What must not be told: each line of each secret."""
    lines = [text.strip() for value in instance.secrets.values() for text in value.splitlines()]
    return tuple(sorted({text for text in lines if text}, key=len, reverse=True))


def _failed(agent: str, action: str, done: Ended, secrets: tuple[str, ...]) -> str:
    """How an agent failed, in its own last words, without the secrets that it was told."""
    said = last_words(done.err) or last_words(done.out) or "it says nothing"
    for secret in secrets:
        said = said.replace(secret, MASK)
    return f"{agent} {action} failed with {done.code}: {line(said)[:WORDS]}."
