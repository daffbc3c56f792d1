"""How far a live migration is: told with the job's progress."""

import time

from mcv import sizes
from mcv.drivers.libvirt_migration import Movement
from mcv.host import Host


class Speed:
    """Bytes a second: libvirt tells those of memory, and none while disks are copied."""

    def __init__(self) -> None:
        self._looked, self._done, self._rate = time.monotonic(), 0, 0

    def of(self, movement: Movement) -> int:
        now, done = time.monotonic(), movement.total - movement.remaining
        if now - self._looked >= 1:
            self._rate = max(0, int((done - self._done) / (now - self._looked)))
            self._looked, self._done = now, done
        return movement.rate or self._rate


def tell(host: Host, what: str, movement: Movement, rate: int) -> None:
    """Tell what is left, in bytes, and how fast it goes."""
    host.job.progress(
        what,
        movement.total - movement.remaining,
        movement.total,
        "B",
        f"{sizes.shown(movement.remaining)} left, {sizes.shown(rate)}/s",
    )
