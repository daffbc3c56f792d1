"""One run of a daemon: from its start to its stop or death."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.model.scheduler import Task


class Gone(BaseException):
    """The daemon that this task is a part of is no more: the task ends where it stands."""


class Life:
    """What belongs to one run of a node's daemon and ends with it."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.alive = True
        self.frozen = False
        self.hung = 0  # how often it was frozen
        self.off = False  # whether its host is to be powered off now
        self.tasks: list[Task] = []
        self.parked: list[Task] = []
