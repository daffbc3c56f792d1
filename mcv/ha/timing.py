"""How long a lease is valid, and how long nobody may take it: one inequality, asserted.

Let s be the moment at which an owner sends a write of its lease. In true time its guests have
ended at s + (V + W) / (1 - rho) + g at the latest, and a taker acts at s + T / (1 + rho) at the
earliest, where each clock is wrong by rho at most. T keeps the second behind the first.
"""

import math
from dataclasses import dataclass, replace

DRIFT = 0.01  # rho; a sick host's clock is wrong by this part at most, a healthy one's by 0.0002
ATTEMPT = 1.0  # s; one try at one endpoint of etcd
LEADER_GAP = 6.4  # s; the longest time without a leader, measured on nodes under load
PACES = range(1, 11)


@dataclass(frozen=True)
class Timing:
    """The periods of an armed node, in seconds."""

    renewal: float  # R; the lease is written this often
    validity: float  # V; counted from before a write was sent
    watchdog: float  # W; the device resets the host this long after it was last fed
    grain: float  # g; some devices act this much later

    @property
    def wait(self) -> int:
        """T: how long a lease has to stay unchanged before a taker may act."""
        return wait(self.validity, self.watchdog, self.grain)

    def no_longer_than(self, other: "Timing") -> "Timing":
        """With the other's validity and timeout where they are shorter."""
        validity, watchdog = other.validity, other.watchdog
        return replace(
            self,
            validity=min(self.validity, validity),
            watchdog=min(self.watchdog, watchdog),
        )

    @property
    def suspicion(self) -> float:
        """D: a node whose lease is unchanged for this long is suspect."""
        return 4 * self.renewal


def at_pace(pace: int, grain: float = 1.0) -> Timing:
    """The periods at a pace; a higher one suits slow disks, and takes as much longer to act."""
    if pace not in PACES:
        raise ValueError(f"{pace} is no pace")
    return Timing(renewal=2.0 * pace, validity=12.0 * pace, watchdog=8.0 * pace, grain=grain)


def wait(validity: float, watchdog: float, grain: float) -> int:
    """T for the periods that stand in a lease, in whole seconds."""
    return math.ceil((validity + watchdog + grain) * (1 + DRIFT) / (1 - DRIFT))


def is_safe(timing: Timing, taker_wait: float) -> bool:
    """Whether the owner's guests have ended before a taker acts, whatever the two clocks do."""
    ended = (timing.validity + timing.watchdog) / (1 - DRIFT) + timing.grain
    return ended <= taker_wait / (1 + DRIFT)


def is_calm(timing: Timing, dead_endpoints: int, leader_gap: float = LEADER_GAP) -> bool:
    """Whether no lease ends while etcd elects a leader and some of its members are dead."""
    return timing.renewal + ATTEMPT * dead_endpoints + leader_gap <= timing.validity
