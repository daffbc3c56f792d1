"""Times as the document and the notes write them."""

import time


def timestamp() -> str:
    """Now, in UTC. For people: no decision is made by a clock."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
