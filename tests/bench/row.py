"""One line of the benchmark: what mcv takes, what the reference takes, and how they may differ."""

from collections.abc import Callable
from dataclasses import dataclass

Measure = Callable[[], float]


@dataclass(frozen=True)
class Row:
    """Seconds of both, the best of several: what else a machine does can only add to them.

    The ratio is that of the times, and the bound the most that it may be. Where
    `is_speed` is set it is that of the throughputs, and the bound the least.
    """

    name: str
    compared: str
    ours: tuple[float, ...]
    reference: tuple[float, ...]
    bound: float
    is_speed: bool = False
    note: str = ""

    @property
    def ratio(self) -> float:
        ours, reference = min(self.ours), min(self.reference)
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
