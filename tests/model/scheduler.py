"""Tasks that run one at a time, in an order drawn from a seed, on a clock that nobody waits for.

Real code waits, locks and starts threads through the stand-ins below. Each task is a
thread that holds the baton or waits for it, so a history is told by its seed alone.
"""

import contextvars
import heapq
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.model.life import Gone, Life

TURN = 0.0002  # seconds that a turn takes, so that no loop stops the clock


class Task:
    """One thread of a daemon: at most one of all tasks runs at any instant."""

    def __init__(self, life: Life, function: Callable[[], Any], name: str) -> None:
        self.life = life
        self.function = function
        self.name = name
        self.gate = threading.Lock()
        self.gate.acquire()
        self.turn = 0  # a timer or a waiting list from before this number is stale
        self.ended = False
        self.waiting: list[tuple[Task, int]] = []


class Scheduler:
    """Chooses who runs next. The harness holds the baton whenever `current` is None."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.now = 0.0
        self.turns = 0
        self.current: Task | None = None
        self.problem: BaseException | None = None
        self._ready: list[Task] = []
        self._timers: list[tuple[float, int, Task, int]] = []
        self._count = 0
        self._baton = threading.Lock()
        self._baton.acquire()
        self._idle: list[_Worker] = []

    # What the harness does

    def spawn(self, life: Life, function: Callable[[], Any], name: str, delay: float = 0.0) -> Task:
        task = Task(life, function, name)
        if not life.alive:
            task.ended = True
            return task
        life.tasks.append(task)
        if delay:
            self._timer(task, self.now + delay)
        else:
            self._ready.append(task)
        return task

    def turn(self, until: float) -> bool:
        """Let one task run to its next pause; False if none is to run before `until`."""
        self.now += TURN
        while self._timers and (not self._ready or self._timers[0][0] <= self.now):
            if self._timers[0][0] > until:
                break
            when, _, task, turn = heapq.heappop(self._timers)
            if task.turn == turn and not task.ended:
                self.now = max(self.now, when)
                self._wake(task)
        if not self._ready or self.now > until:
            return False
        index = self.chance.randrange(len(self._ready))
        task = self._ready[index]
        self._ready[index] = self._ready[-1]
        self._ready.pop()
        if not task.ended:
            self._resume(task)
        return True

    def run(self, seconds: float, after: Callable[[], None] = lambda: None) -> None:
        """Let tasks run for that long by their clock."""
        until = self.now + seconds
        while self.turn(until):
            after()
        self.now = max(self.now, until)

    def kill(self, life: Life) -> None:
        """End every task of a daemon where it stands: nothing of it happens any more."""
        life.alive = False
        for task in list(life.tasks):
            if not task.ended:
                task.turn += 1
                self._resume(task)
        life.tasks.clear()
        life.parked.clear()

    def freeze(self, life: Life) -> None:
        life.frozen = True
        life.hung += 1

    def thaw(self, life: Life) -> None:
        life.frozen = False
        parked, life.parked = life.parked, []
        self._ready.extend(task for task in parked if not task.ended)

    def close(self) -> None:
        for worker in self._idle:
            worker.task = None
            worker.gate.release()
        self._idle.clear()

    # What tasks do

    def check(self) -> None:
        """End the task here if its daemon is no more."""
        if self.current is not None and not self.current.life.alive:
            raise Gone(self.current.life.node)

    def pause(self, likely: float = 1.0) -> None:
        """A point where another task may come first."""
        self.check()
        if self.current is None or (likely < 1 and self.chance.random() >= likely):
            return
        self._ready.append(self.current)
        self._give_up()

    def wait(self, waiting: list[tuple[Task, int]], until: float | None) -> None:
        """Wait until somebody wakes the list, or the time has come."""
        self.check()
        task = self.current
        if task is None:
            raise AssertionError("the harness would wait for ever")
        task.turn += 1
        waiting.append((task, task.turn))
        if until is not None:
            self._timer(task, until)
        self._give_up()

    def wake(self, waiting: list[tuple[Task, int]]) -> None:
        for task, turn in waiting:
            if task.turn == turn and not task.ended:
                self._wake(task)
        waiting.clear()

    def sleep(self, seconds: float) -> None:
        if self.current is None:
            self.now += seconds
            return
        self.wait([], self.now + max(0.0, seconds))

    def _timer(self, task: Task, when: float) -> None:
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, task, task.turn))

    def _wake(self, task: Task) -> None:
        task.turn += 1
        (task.life.parked if task.life.frozen else self._ready).append(task)

    def _give_up(self) -> None:
        task = self.current
        assert task is not None
        self._baton.release()
        task.gate.acquire()
        if not task.life.alive:
            raise Gone(task.life.node)

    def _resume(self, task: Task) -> None:
        if task.life.frozen and task.life.alive:
            task.life.parked.append(task)
            return
        before, self.current = self.current, task
        self.turns += 1
        if not hasattr(task, "worker"):
            worker = self._idle.pop() if self._idle else _Worker(self)
            task.worker = worker  # type: ignore[attr-defined]
            worker.begin(task)
        else:
            task.gate.release()
        self._baton.acquire()
        self.current = before
        if self.problem is not None:
            problem, self.problem = self.problem, None
            raise problem

    def ended(self, task: Task, worker: "_Worker") -> None:
        task.ended = True
        if task in task.life.tasks:
            task.life.tasks.remove(task)
        self.wake(task.waiting)
        self._idle.append(worker)


class _Worker:
    """A thread that carries one task after the other."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.gate = threading.Lock()
        self.gate.acquire()
        self.task: Task | None = None
        self._scheduler = scheduler
        threading.Thread(target=self._work, daemon=True).start()

    def begin(self, task: Task) -> None:
        self.task = task
        self.gate.release()

    def _work(self) -> None:
        scheduler = self._scheduler
        while True:
            self.gate.acquire()
            task = self.task
            if task is None:
                return
            try:
                if task.life.alive:
                    contextvars.Context().run(task.function)
            except Gone:
                pass
            except BaseException as problem:
                scheduler.problem = problem
            scheduler.ended(task, self)
            scheduler._baton.release()


class FakeTime:
    """The module `time`, on the scheduler's clock."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.strftime = time.strftime

    def gmtime(self, seconds: float | None = None) -> time.struct_time:
        return time.gmtime(self.time() if seconds is None else seconds)

    def monotonic(self) -> float:
        return self._scheduler.now

    def time(self) -> float:
        return 1_700_000_000.0 + self._scheduler.now

    def sleep(self, seconds: float) -> None:
        self._scheduler.sleep(seconds)
