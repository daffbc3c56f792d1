"""A program that tries a watchdog: `python -m mcv.system.watchdog_trial DEVICE SECONDS`.

Opening a watchdog starts it, so mcvd does not do it itself: a daemon that is killed meanwhile
would leave a host that resets. This program goes on, and ends the watchdog, whatever becomes
of mcvd.
"""

import json
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

from mcv.errors import McvError, SystemFailed
from mcv.system.watchdog import SOFTDOG, Watchdog

LEAST_GRAIN = 1.0  # s: whole seconds are all that drivers tell
LOOKS = 10
PAUSE = 0.25  # s between two looks: together they last longer than a driver's second


class Measured(NamedTuple):
    """A watchdog's identity, the timeout that it took, and how much later it may reset."""

    kind: str
    timeout: int
    grain: float


def measure(watchdog: Watchdog, seconds: int) -> Measured:
    """Set the timeout, feed, and look when the driver says that it will reset.

    A driver that takes another timeout is asked which. One that does not say how much time is
    left may be one that resets at a second period only; the kernel's own timer is known.
    """
    kind = watchdog.identity()
    try:
        watchdog.set_timeout(seconds)
    except SystemFailed:
        watchdog.feed()
    timeout = watchdog.timeout()
    watchdog.feed()
    fed = time.monotonic()
    latest: float | None = None
    for _ in range(LOOKS):
        left = watchdog.time_left()
        if left is not None:
            until = time.monotonic() + left - fed
            latest = until if latest is None else max(latest, until)
        time.sleep(PAUSE)
    return Measured(kind, timeout, _grain(kind, timeout, latest))


def _grain(kind: str, timeout: int, latest: float | None) -> float:
    if kind == SOFTDOG:
        return LEAST_GRAIN
    if latest is None:
        return float(timeout)
    return round(max(LEAST_GRAIN, latest + LEAST_GRAIN - timeout), 1)


def main() -> None:
    """Print what was measured as JSON; the watchdog is ended in any case."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    device, seconds = Path(sys.argv[1]), int(sys.argv[2])
    try:
        watchdog = Watchdog.open(device)
        try:
            measured = measure(watchdog, seconds)
        finally:
            watchdog.end()
    except McvError as error:
        sys.exit(error.message)
    print(json.dumps(measured._asdict()))


if __name__ == "__main__":
    main()
