"""Simulated fence devices: well, silent, lying, or wired to another host."""

from dataclasses import dataclass, field
from enum import StrEnum, auto

from mcv.ha.fence import Action, PlugAt, Said, Told

AGENT = 0.3  # s that an agent takes whose device is well
HANGS = 30.0  # s after which an agent is ended


class Mode(StrEnum):
    """How a plug is well, or fails."""

    WELL = auto()
    HANG = auto()
    ERROR = auto()
    LIE = auto()  # `off` does nothing and succeeds; `status` tells the truth
    LIE_IN_BOTH = auto()  # `off` does nothing and succeeds; `status` says off after that
    SLOW = auto()  # `off` succeeds at once, and the host is off `delay` seconds later


@dataclass
class Answer:
    """What an agent is going to say, after how long, and what that does to which host."""

    told: Told
    seconds: float = AGENT
    switches: tuple[str, Action] | None = None
    after: float = 0.0


@dataclass
class Devices:
    """All plugs: what hangs on each, and how it is. `calls` are in order of their beginning."""

    wired: dict[str, str] = field(default_factory=dict)  # plug: host
    modes: dict[str, Mode] = field(default_factory=dict)
    delay: float = 0.0
    seconds: dict[Action, float] = field(default_factory=dict)  # that a call takes
    blind: set[str] = field(default_factory=set)  # nodes that reach no device
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    _lied: set[str] = field(default_factory=set)

    def answer(self, asker: str, plug: PlugAt, action: Action, is_on: dict[str, bool]) -> Answer:
        """What becomes of a call; `is_on` is of the hosts, when it ends."""
        self.calls.append((asker, str(plug), str(action)))
        found = self._found(asker, str(plug), action, is_on)
        found.seconds = self.seconds.get(action, found.seconds)
        return found

    def _found(self, asker: str, name: str, action: Action, is_on: dict[str, bool]) -> Answer:
        mode = self.modes.get(name, Mode.WELL)
        if asker in self.blind or mode is Mode.HANG:
            return Answer(Told(Said.FAILED, "the agent ran past its time"), HANGS)
        host = self.wired.get(name)
        if mode is Mode.ERROR or host is None:
            return Answer(Told(Said.FAILED, "the agent failed with 1"))
        if action is Action.STATUS:
            is_off = not is_on[host] or (mode is Mode.LIE_IN_BOTH and name in self._lied)
            return Answer(Told(Said.OFF if is_off else Said.ON))
        if action is Action.ON:
            self._lied.discard(name)
            return Answer(Told(Said.DONE), switches=(host, action))
        if mode in (Mode.LIE, Mode.LIE_IN_BOTH):
            self._lied.add(name)
            return Answer(Told(Said.DONE))
        after = self.delay if mode is Mode.SLOW else 0.0
        return Answer(Told(Said.DONE), switches=(host, action), after=after)
