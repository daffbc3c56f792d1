"""What a daemon remembers of its own attempts and looks, as long as it runs."""

import threading
from dataclasses import dataclass, field


@dataclass(frozen=True)
class StartAttempt:
    """The last attempt of the daemon to start a VM by itself, and why it failed."""

    at: float  # monotonic
    why: str


@dataclass(frozen=True)
class ServiceLook:
    """What the last look at a service here has found, "" for no trouble, and since when.

    Times are of the monotonic clock.
    """

    trouble: str
    at: float
    since: float


@dataclass
class ServiceLooks:
    """The last look at each service that runs here, and the threads that look.

    `lacks` is, by service of another node, why it could not start here.
    """

    last: dict[str, ServiceLook] = field(default_factory=dict)
    lacks: dict[str, str] = field(default_factory=dict)
    threads: dict[str, threading.Thread] = field(default_factory=dict)
