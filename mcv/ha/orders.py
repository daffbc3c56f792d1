"""What a node was ordered to do by the manager, and what came of it, as long as its mcvd lives."""

import threading
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["done", "failed", "stop-failed", "unknown"]


@dataclass(frozen=True)
class Order:
    """The newest order about a VM or service; `outcome` is "" while it is carried out.

    `operation` is of the job that carries it out, "" before that has begun.
    """

    uid: str
    operation: str = ""
    outcome: Outcome | Literal[""] = ""
    message: str = ""


class Orders:
    """The newest order of each VM and service."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: dict[str, Order] = {}

    def accept(self, name: str, uid: str) -> bool:
        """Whether this order is new and none is under way: then it is the one under way."""
        with self._lock:
            known = self._orders.get(name)
            if known is not None and (known.uid == uid or not known.outcome):
                return False
            self._orders[name] = Order(uid)
            return True

    def begun(self, name: str, uid: str, operation: str) -> None:
        """It is carried out by this job."""
        with self._lock:
            self._orders[name] = Order(uid, operation)

    def ended(self, name: str, outcome: Outcome, message: str = "") -> None:
        """What came of it."""
        with self._lock:
            known = self._orders[name]
            self._orders[name] = Order(known.uid, known.operation, outcome, message)

    def all(self) -> dict[str, Order]:
        """By VM and service."""
        with self._lock:
            return dict(self._orders)
