"""How far an operation is: its bars, the latest of them."""

from typing import Any

from mcv import printable

MOST = 50  # of a job; the oldest is forgotten

Bar = dict[str, Any]


class Bars:
    """The bars of a job by what they are about, each with the number of its last news.

    Precondition of each method: the caller holds the job's lock.
    """

    def __init__(self) -> None:
        self._bars: dict[str, tuple[int, Bar]] = {}

    def note(self, number: int, what: str, done: float, total: float, unit: str, note: str) -> None:
        what = printable.line(what)
        bar = {"what": what, "done": done, "total": total, "unit": unit}
        if note:
            bar["note"] = printable.line(note)
        self._bars[what] = (number, bar)
        if len(self._bars) > MOST:
            del self._bars[min(self._bars, key=lambda each: self._bars[each][0])]

    def all(self) -> list[Bar]:
        """In the order in which they were begun."""
        return [bar for _, bar in self._bars.values()]

    def since(self, number: int) -> list[Bar]:
        """Those with later news, in the order of their news."""
        news = sorted(
            ((at, bar) for at, bar in self._bars.values() if at > number), key=lambda new: new[0]
        )
        return [bar for _, bar in news]
