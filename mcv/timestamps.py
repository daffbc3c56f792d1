"""Times as the document and the notes write them."""

import calendar
import time


def timestamp() -> str:
    """Now, in UTC. For people: no decision is made by a clock."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def seconds(stamp: str) -> float:
    """A timestamp as seconds since 1970, to tell how far two of them are apart."""
    return float(calendar.timegm(time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ")))
