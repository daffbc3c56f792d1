"""What mcv-guests waits for before it ends the guests of a host that goes down.

mcvd tells it what high availability does with what runs here (mcv ha settings on-shutdown). The
wait ends by itself: a host goes down without mcvd, and without whoever decides, too.
"""

import logging
import time
from collections.abc import Callable
from typing import Literal

import msgspec

from mcv.errors import McvError
from mcv.rpc.client import Client

log = logging.getLogger("mcv-guests")

OPERATION = "ha.leave"
LOOK = 1.0  # s between two questions
KNOWN = 6.0  # s, three rounds, in which whoever decides hears of it
QUIET = 30.0  # s without a move under way, and without one that has ended
LONGEST = 600.0  # s that all moves have together
ANSWER = 10.0  # s that mcvd has to answer

Policy = Literal["", "migrate", "failover", "freeze"]


class Leaving(msgspec.Struct, frozen=True, kw_only=True):
    """What the shutdown of this host does with what is managed; "": nobody decides about it.

    `is_known`: whoever decides has been told since. `staying` is here and has to move first,
    and `is_moving` some of it now.
    """

    policy: Policy
    is_known: bool = False
    staying: list[str] = []
    is_moving: bool = False


def ask() -> Leaving:
    """Tell mcvd that this host goes down, and ask what that does. Raises McvError."""
    client = Client(timeout=ANSWER, turn=ANSWER, patience=ANSWER)
    answer = client.call(OPERATION)
    try:
        return msgspec.convert(answer, Leaving)
    except msgspec.ValidationError as error:
        raise McvError(f"mcvd's answer to {OPERATION} is not understood: {error}.") from error


def wait(ask: Callable[[], Leaving] = ask) -> None:
    """Wait until whoever decides knows that this host goes down, and until what moves has left."""
    began = last = time.monotonic()
    before: list[str] | None = None
    while True:
        try:
            told = ask()
        except McvError as error:
            log.warning("nothing is waited for: %s", error)
            return
        now = time.monotonic()
        if told.is_moving or told.staying != before:
            last = now
        if before is None and told.staying:
            log.info("waiting for %s to move elsewhere (on-shutdown)", ", ".join(told.staying))
        before = told.staying
        if not told.policy or _is_over(told, now - began, now - last):
            return
        time.sleep(LOOK)


def _is_over(told: Leaving, waited: float, quiet: float) -> bool:
    if not told.staying:
        return told.is_known or waited >= KNOWN
    if quiet < QUIET and waited < LONGEST:
        return False
    log.warning("%s did not move elsewhere within %.0f s", ", ".join(told.staying), waited)
    return True
