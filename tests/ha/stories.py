"""Stories of another product's high-availability manager, read as they lie in their directories.

MCV_HA_STORIES names the directory of the stories. A story has the files `cmdlist`,
`hardware_status`, `manager_status`, `service_config`, at most one of `rules_config` and `groups`,
and at times `datacenter.cfg` and statistics. WORDS is the one table from its words to ours.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VARIABLE = "MCV_HA_STORIES"

Facts = dict[str, Any]  # their JSON

# Their words, ours; a move that is under way is a started service.
WORDS = {
    "state": {
        "enabled": "started",
        "disabled": "stopped",
        "request_start": "started",
        "request_start_balance": "started",
        "request_stop": "stopped",
        "migrate": "started",
        "relocate": "started",
        "fence": "recovery",
        "error": "failed",
        "freeze": "frozen",
    },
    "tie": {"positive": "together", "negative": "apart"},
    "command": {
        "enabled": "started",
        "disabled": "stopped",
        "enable-node-maintenance": "drain",
        "disable-node-maintenance": "restore",
        "disarm-ha": "disarm",
        "arm-ha": "arm",
        "manual-migrate": "migrate-by-hand",
        "delete": "remove",
        "lrm": "worker",
        "crm": "manager",
        "restart-lrm": "restart-worker",
        "cfs": "store",
    },
}

WANTED = ("started", "stopped", "ignored")

# Commands of the form `noun object rest`; the last ones are ours alone.
NOUNS = (
    *("power", "network", "reboot", "shutdown", "restart-worker", "skip-round"),
    *("manager", "worker", "store", "pve-manager-version"),
    *("link", "clock", "freeze", "fence-device", "etcd", "replica", "crash"),
)


def ours(word: str, kind: str = "state") -> str:
    """Our word for one of theirs; a word that is not in the table means the same in both."""
    return WORDS[kind].get(word, word)


class NotAStory(ValueError):
    """A file of a story says something that this reader does not know."""


@dataclass(frozen=True)
class Command:
    """One line of a batch: the verb, the node or service that it is about, and the rest."""

    verb: str
    what: str
    rest: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoryNode:
    """A host as a story begins."""

    is_on: bool
    is_linked: bool
    memory: int = 0  # bytes; 0: the story does not say


@dataclass(frozen=True)
class Failing:
    """What a service of the kind `fa` does, by the digits of its number (a is a mere number).

    b: starts that fail before one succeeds; c: the same of moves; d: it cannot be stopped;
    f: only on the node of this number, 0 for all.
    """

    starts: int = 0
    moves: int = 0
    stops: bool = False
    node: str = ""

    @classmethod
    def by_digits(cls, number: str) -> "Failing":
        digits = [int(digit) for digit in number] + [0] * 6
        where = f"node{digits[5]}" if digits[5] else ""
        return cls(digits[1], digits[2], bool(digits[3]), where)

    def is_on(self, node: str) -> bool:
        """Whether the service fails on the node."""
        return self.node in ("", node)


@dataclass(frozen=True)
class StoryService:
    """A service: where it is, what is wanted of it, and its limits."""

    node: str
    wanted: str
    is_live: bool  # whether it moves while it runs, as a VM; the others move by a stop
    restarts: int = 1
    relocates: int = 1
    failback: bool = True
    domain: str = ""
    failing: Failing = Failing()


@dataclass(frozen=True)
class Domain:
    """Nodes by priority, the lowest number first."""

    nodes: dict[str, int]
    restricted: bool
    failback: bool = True


@dataclass(frozen=True)
class Begun:
    """What the manager knew of a service before the story begins."""

    node: str
    state: str
    target: str = ""


@dataclass(frozen=True)
class Story:
    """One directory."""

    name: str
    nodes: dict[str, StoryNode]
    services: dict[str, StoryService]
    batches: tuple[tuple[Command, ...], ...]
    domains: dict[str, Domain] = field(default_factory=dict)
    ties: tuple[tuple[str, frozenset[str]], ...] = ()  # ("together" or "apart", services)
    on_shutdown: str = "conditional"
    begun: dict[str, Begun] = field(default_factory=dict)
    condemned: frozenset[str] = frozenset()  # nodes whose fencing was decided before
    memory: dict[str, int] = field(default_factory=dict)  # bytes, by service
    between: int = 100  # s from one batch to the next

    @property
    def is_about_scheduler(self) -> bool:
        """Whether the story is about that product's own balance of load."""
        return "-crs-" in self.name


def directories() -> list[Path]:
    """The stories' directories; none where MCV_HA_STORIES is not set."""
    named = os.environ.get(VARIABLE)
    return sorted(path.parent for path in Path(named).glob("*/cmdlist")) if named else []


def read(directory: Path) -> Story:
    """Read a story; raises NotAStory."""
    services = _json(directory / "service_config")
    domains, members, ties = _rules(directory)
    settings = _json(directory / "datacenter.cfg")
    status = _json(directory / "manager_status")
    return Story(
        name=directory.name,
        nodes={
            name: StoryNode(has["power"] == "on", has["network"] == "on", has.get("maxmem", 0))
            for name, has in _json(directory / "hardware_status").items()
        },
        services={
            name: service(name, has, members.get(name) or has.get("group", ""))
            for name, has in services.items()
        },
        batches=tuple(
            tuple(command(line) for line in batch) for batch in _list(directory / "cmdlist")
        ),
        domains=domains,
        ties=ties,
        on_shutdown=settings.get("ha", {}).get("shutdown_policy", "conditional"),
        begun={
            name: Begun(has["node"], ours(has["state"]), has.get("target", ""))
            for name, has in status.get("service_status", {}).items()
        },
        condemned=frozenset(
            name for name, state in status.get("node_status", {}).items() if state == "fence"
        ),
        memory=_memory(directory),
    )


def service(name: str, has: Facts, domain: str = "") -> StoryService:
    """A service of a name `kind:number` by its settings."""
    kind, number = name.split(":")
    wanted = ours(has.get("state", "stopped"))
    if kind not in ("vm", "ct", "fa") or wanted not in WANTED:
        raise NotAStory(f"{name}: {wanted}")
    return StoryService(
        node=has["node"],
        wanted=wanted,
        is_live=kind == "vm",
        restarts=int(has.get("max_restart", 1)),
        relocates=int(has.get("max_relocate", 1)),
        failback=bool(int(has.get("failback", 1))),
        domain=domain,
        failing=Failing.by_digits(number) if kind == "fa" else Failing(),
    )


def command(line: str) -> Command:
    """One command in our words, the verb first: `set S started`, `drain N`, `power N on`."""
    noun, *rest = [ours(word, "command") for word in line.split()]
    if noun == "service" and len(rest) >= 2:
        what, verb, *rest = rest
        return Command("set", what, (verb,)) if verb in WANTED else Command(verb, what, tuple(rest))
    if noun == "manager" and len(rest) >= 2 and rest[1] not in ("start", "stop"):
        return Command(rest[1], rest[0], tuple(rest[2:]))
    if noun in NOUNS and rest:
        return Command(noun, rest[0], tuple(rest[1:]))
    if noun == "delay":
        return Command(noun, "", tuple(rest))
    raise NotAStory(line)


def _json(path: Path) -> Facts:
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _list(path: Path) -> list[list[str]]:
    return list(json.loads(path.read_text()))


def _memory(directory: Path) -> dict[str, int]:
    static, dynamic = (_json(directory / f"{kind}_service_stats") for kind in ("static", "dynamic"))
    sizes = {name: int(has["maxmem"]) for name, has in static.items() if "maxmem" in has}
    return sizes | {name: int(has["mem"]) for name, has in dynamic.items() if "mem" in has}


Ties = tuple[tuple[str, frozenset[str]], ...]


def _rules(directory: Path) -> tuple[dict[str, Domain], dict[str, str], Ties]:
    """Domains, the domain of each service that a rule names, and ties."""
    domains, members, ties = {}, {}, []
    for name in ("groups", "rules_config"):
        path = directory / name
        for kind, section, has in _sections(path.read_text() if path.exists() else ""):
            if has.get("disable") == "1":
                continue
            if kind in ("group", "node-affinity"):
                domains[section] = _domain(has)
                members.update(dict.fromkeys(_named(has.get("resources", "")), section))
            elif kind == "resource-affinity":
                ties.append((ours(has["affinity"], "tie"), frozenset(_named(has["resources"]))))
            else:
                raise NotAStory(kind)
    return domains, members, tuple(ties)


def _domain(has: dict[str, str]) -> Domain:
    """Their higher number is the better one; ours is the lower."""
    numbers = {}
    for node in _named(has["nodes"]):
        name, _, number = node.partition(":")
        numbers[name] = int(number or 0)
    classes = sorted(set(numbers.values()), reverse=True)
    nodes = {name: 1 + classes.index(number) for name, number in numbers.items()}
    restricted = "1" in (has.get("restricted"), has.get("strict"))
    return Domain(nodes, restricted, has.get("nofailback") != "1")


def _named(text: str) -> Iterable[str]:
    return [name for name in re.split(r"[,;\s]+", text) if name]


def _sections(text: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Sections of the form `kind: name`, each with indented lines of a word and its value."""
    for block in re.split(r"\n(?=\S)", text.strip()):
        if not block:
            continue
        head, *lines = block.splitlines()
        kind, _, name = head.partition(":")
        pairs = (line.strip().partition(" ") for line in lines if line.strip())
        yield kind, name.strip(), {word: value.strip() for word, _, value in pairs}
