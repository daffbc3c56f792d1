"""The module `threading`, and the lock files, as tasks of the scheduler know them."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from mcv.errors import Busy
from tests.model.scheduler import Scheduler, Task

PREEMPTED = 0.1  # how likely another task comes first where a lock is taken


class Lock:
    """A lock, or with `again` one that its owner may take again."""

    def __init__(self, scheduler: Scheduler, again: bool) -> None:
        self._scheduler = scheduler
        self._again = again
        self._owner: Task | None = None
        self._depth = 0
        self._waiting: list[tuple[Task, int]] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        scheduler = self._scheduler
        if scheduler.current is None:
            return True
        if self._owner is scheduler.current and self._again:
            self._depth += 1
            return True
        scheduler.pause(PREEMPTED)
        until = scheduler.now + timeout if timeout >= 0 else None
        while self._owner is not None:
            if not blocking or (until is not None and scheduler.now >= until):
                return False
            scheduler.wait(self._waiting, until)
        self._owner, self._depth = scheduler.current, 1
        return True

    def release(self) -> None:
        if self._scheduler.current is None or self._owner is not self._scheduler.current:
            return
        self._depth -= 1
        if self._depth == 0:
            self._owner = None
            self._scheduler.wake(self._waiting)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Event:
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._set = False
        self._waiting: list[tuple[Task, int]] = []

    def set(self) -> None:
        self._set = True
        self._scheduler.wake(self._waiting)

    def clear(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        until = None if timeout is None else self._scheduler.now + timeout
        while not self._set and (until is None or self._scheduler.now < until):
            self._scheduler.wait(self._waiting, until)
        return self._set


class Condition:
    """No task is interrupted but where it waits, so this needs no lock of its own."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._waiting: list[tuple[Task, int]] = []

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def notify_all(self) -> None:
        self._scheduler.wake(self._waiting)

    def wait_for(self, ready: Callable[[], bool], timeout: float | None = None) -> bool:
        until = None if timeout is None else self._scheduler.now + timeout
        while not ready() and (until is None or self._scheduler.now < until):
            self._scheduler.wait(self._waiting, until)
        return ready()


class Thread:
    """A task beside the one that starts it, of the same daemon."""

    def __init__(
        self,
        scheduler: Scheduler,
        target: Callable[..., Any],
        args: tuple[Any, ...] = (),
        name: str = "thread",
        daemon: bool = True,
    ) -> None:
        self._scheduler = scheduler
        self._work = lambda: target(*args)
        self._name = name
        self._task: Task | None = None

    def start(self) -> None:
        current = self._scheduler.current
        assert current is not None, "a thread is started by a daemon"
        self._task = self._scheduler.spawn(current.life, self._work, self._name)

    def join(self, timeout: float | None = None) -> None:
        assert self._task is not None
        until = None if timeout is None else self._scheduler.now + timeout
        while not self._task.ended and (until is None or self._scheduler.now < until):
            self._scheduler.wait(self._task.waiting, until)


def module(scheduler: Scheduler) -> SimpleNamespace:
    """What stands where real code says `threading`."""

    def thread(**options: Any) -> Thread:
        return Thread(scheduler, **options)

    return SimpleNamespace(
        Lock=lambda: Lock(scheduler, again=False),
        RLock=lambda: Lock(scheduler, again=True),
        Event=lambda: Event(scheduler),
        Condition=lambda: Condition(scheduler),
        Thread=thread,
        Semaphore=threading.Semaphore,
        BoundedSemaphore=threading.BoundedSemaphore,
    )


class Locks:
    """The lock files of one daemon's life: what it held ends with it."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._locks: dict[str, Lock] = {}
        self._notes: dict[str, dict[str, Any]] = {}

    @contextlib.contextmanager
    def hold(self, name: str, why: str, timeout: float = 60, subject: str = "") -> Iterator[None]:
        lock = self._locks.setdefault(name, Lock(self._scheduler, again=False))
        if not lock.acquire(timeout=timeout):
            raise Busy(f"{subject or name} is busy: {self._notes.get(name, {}).get('why')}")
        self._notes[name] = {"why": why, "since": ""}
        try:
            yield
        finally:
            self._notes.pop(name, None)
            lock.release()

    def notes(self) -> dict[str, dict[str, Any]]:
        return dict(sorted(self._notes.items()))
