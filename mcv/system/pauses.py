"""Growing pauses between the tries of something that a loop does by itself."""

import time
from collections.abc import Callable

FIRST = 10.0  # s
MOST = 300.0  # s


class Pauses:
    """When each thing, by its name, is tried again: the pause doubles with each try."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._pauses: dict[str, tuple[float, float]] = {}  # by name: until when, how long

    def is_due(self, name: str) -> bool:
        return self._now() >= self._pauses.get(name, (0.0, 0.0))[0]

    def is_first(self, name: str) -> bool:
        """Whether nothing was tried yet."""
        return name not in self._pauses

    def begin(self, name: str) -> None:
        """A try begins: the next is due after a pause, twice as long as the last."""
        pause = min(MOST, 2 * self._pauses[name][1]) if name in self._pauses else FIRST
        self._pauses[name] = (self._now() + pause, pause)

    def keep(self, is_needed: Callable[[str], bool]) -> None:
        """Forget everything else: what becomes necessary again is tried at once."""
        self._pauses = {name: pause for name, pause in self._pauses.items() if is_needed(name)}
