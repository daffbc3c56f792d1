"""One line of the benchmark: what mcv takes, what the reference takes, and how they may differ."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

Measure = Callable[[], float]


@dataclass(frozen=True)
class Row:
    """Seconds of both, the best of several: what else a machine does can only add to them.

    The ratio is that of the times, and the bound the most that it may be. Where
    `is_speed` is set it is that of the throughputs, and the bound the least. Where `is_median`
    is set the median counts: when in a period something begins is a part of such a time.
    """

    name: str
    compared: str
    ours: tuple[float, ...]
    reference: tuple[float, ...]
    bound: float
    is_speed: bool = False
    note: str = ""
    is_median: bool = False

    @property
    def compared_times(self) -> tuple[float, float]:
        """Seconds of mcv and of the reference, as they are set against each other."""
        chosen = median if self.is_median else min
        return chosen(self.ours), chosen(self.reference)

    @property
    def ratio(self) -> float:
        ours, reference = self.compared_times
        return reference / ours if self.is_speed else ours / reference

    @property
    def holds(self) -> bool:
        return self.ratio >= self.bound if self.is_speed else self.ratio <= self.bound

    @property
    def limit(self) -> str:
        return f"{'≥' if self.is_speed else '≤'} {self.bound:g}"


def alternate(ours: Measure, reference: Measure, times: int) -> tuple[list[float], list[float]]:
    """Measure both in turn, so that a machine that is busy for a while is so for both."""
    pairs = [(ours(), reference()) for _ in range(times)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]
