"""What a story comes to: where each service is in the end, who was fenced, how often all moved."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tests.ha.stories import Story, ours

ADDED = re.compile(r"adding new service '(\S+)' on node '(\S+)'")
CHANGED = re.compile(r"service '(\S+)': state changed from '\S+' to '(\w+)'(?: +\(node = (\w+))?")
FROZEN = re.compile(r"disarm: freezing service '(\S+)'")
ADOPTED = re.compile(r"service '(\S+)': updating node '\S+' => '(\S+)'")
REMOVED = re.compile(r"removing stale service '(\S+)'")
FENCED = re.compile(r"fencing: acknowledged - got agent lock for node '(\S+)'")


@dataclass(frozen=True)
class Outcome:
    """What is compared. A relocation is a change of a service's node, by whatever way."""

    services: dict[str, tuple[str, str]]  # (state, node)
    fenced: frozenset[str]
    relocations: int


class Told:
    """The extractor: keeps, line by line, no more than an outcome."""

    def __init__(self, story: Story) -> None:
        self._services = {name: (begun.state, begun.node) for name, begun in story.begun.items()}
        self._fenced: set[str] = set()
        self._relocations = 0

    def _is_at(self, name: str, state: str, node: str) -> None:
        _, before = self._services.get(name, ("", ""))
        node = node or before
        self._relocations += before not in ("", node)
        self._services[name] = (ours(state), node)

    def hear(self, line: str) -> None:
        if found := ADDED.search(line):
            self._is_at(found[1], "stopped", found[2])
        elif found := CHANGED.search(line):
            self._is_at(found[1], found[2], found[3] or "")
        elif found := FROZEN.search(line):
            self._is_at(found[1], "frozen", "")
        elif found := ADOPTED.search(line):
            self._is_at(found[1], self._services[found[1]][0], found[2])
        elif found := REMOVED.search(line):
            self._services.pop(found[1], None)
        elif found := FENCED.search(line):
            self._fenced.add(found[1])

    @property
    def outcome(self) -> Outcome:
        return Outcome(self._services, frozenset(self._fenced), self._relocations)


def told(story: Story, log: Iterable[str]) -> Outcome:
    """The outcome that the log of a story tells; used at the time of a test, kept nowhere."""
    teller = Told(story)
    for line in log:
        teller.hear(line)
    return teller.outcome
