"""Deadlines of calls to libvirt: a read is given up, a change is waited for.

A libvirtd that hangs blocks its callers in the library, and nothing ends such a call. Each call
is therefore made by a thread of its own. The circuit keeps these threads few: while it is open,
one thread probes libvirt, and no other call is begun. A libvirtd may answer the probe while it
carries out nothing else: with MOST calls that were given up the circuit stays open.
"""

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from mcv.errors import LibvirtSilent, OutcomeOpen
from mcv.system import stall

T = TypeVar("T")

READ = 1.4  # s that a report waits for libvirt; an operator's read has 3 s in all
PATIENT = 10.0  # s of silence that every other read outlasts: a busy host is not a hung one
SLOW = 60.0  # s for a question for which libvirt starts every emulator of the host
LOOK = 4.0  # s between two looks whether libvirt still answers, while a change is under way
MOST = 10  # calls given up and not over; libvirtd has 20 workers, and others need some
PAUSE = 0.2  # s between two looks whether one of them is over
CHANGE = 90.0  # s after which a change counts as open although libvirt answers otherwise


class _Call(Generic[T]):
    """A call made by a thread of its own; `over` is set at its end."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.over = threading.Event()
        self._work = work
        self._answer: list[T] = []
        self._error: BaseException | None = None
        context = contextvars.copy_context()
        threading.Thread(
            target=context.run, args=(self._run,), name="libvirt-call", daemon=True
        ).start()

    def _run(self) -> None:
        try:
            self._answer.append(self._work())
        except BaseException as error:
            self._error = error
        self.over.set()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._answer[0]


class Circuit:
    """Whether libvirt answers: open from a read past its deadline until a probe has an answer.

    It stays open while MOST reads that were given up still hang.
    """

    def __init__(self, probe: Callable[[], object], node: str) -> None:
        self._probe = probe
        self._node = node
        self._guard = threading.Lock()
        self._closed = threading.Event()
        self._closed.set()
        self._silent_since = 0.0  # monotonic, while the circuit is open
        self._given_up: list[threading.Event] = []  # of reads past their deadline: their ends

    @property
    def silence(self) -> str:
        """That libvirt does not answer, in words; "" while the circuit is closed."""
        if self._closed.is_set():
            return ""
        seconds = time.monotonic() - self._silent_since
        return f"libvirt has not answered on {self._node} for {seconds:.0f} s"

    def read(self, work: Callable[[], T], slow: bool = False) -> T:
        """Ask a question that changes nothing.

        Raises LibvirtSilent without an answer in time: a report's question while the circuit
        is open at once, every other when libvirt has been silent for PATIENT s. A slow
        question's own answer may take longer.
        """
        began = time.monotonic()
        is_of_report = stall.in_a_hurry.get()
        until_closed = 0.0 if is_of_report else self._silent_since + PATIENT - began
        if not self._closed.wait(max(0.0, min(until_closed, PATIENT))):
            raise self._error()
        call = _Call(work)
        patience = READ if is_of_report else SLOW if slow else PATIENT
        if not call.over.wait(max(0.0, began + patience - time.monotonic())):
            self._open(began, call.over)
            raise self._error()
        return call.result()

    def change(self, what: str, work: Callable[[], T]) -> T:
        """Carry out a change and wait for its end, which may come only when libvirt wakes.

        While it is open the operation is told so. Raises OutcomeOpen where nobody listens.
        """
        call = _Call(work)
        began = time.monotonic()
        told = ""
        while not call.over.wait(LOOK):
            why = self._why_open(what, time.monotonic() - began)
            if why and stall.listener.get() is None:
                raise OutcomeOpen(f"Whether it did {what} is not known: {why}.")
            if why or told:
                stall.tell(told := why)
        if told:
            stall.tell("")
        return call.result()

    def answers(self) -> bool:
        """Whether libvirt answers now, be it with an error."""
        try:
            self.read(self._probe_once)
        except LibvirtSilent:
            return False
        return True

    def await_answer(self, wait: float) -> bool:
        """Wait for the end of a silence, at most so many seconds; whether it has ended."""
        return self._closed.wait(wait)

    def _why_open(self, what: str, seconds: float) -> str:
        # The silence of libvirt itself is looked for with a report's patience.
        context = contextvars.copy_context()
        context.run(stall.in_a_hurry.set, True)
        if not context.run(self.answers):
            is_long = time.monotonic() - self._silent_since >= PATIENT
            return self.silence * is_long
        return f"libvirt on {self._node} has tried to {what} for {seconds:.0f} s" * (
            seconds > CHANGE
        )

    def _open(self, since: float, end: threading.Event) -> None:
        with self._guard:
            self._given_up.append(end)
            if not self._closed.is_set():
                return
            self._silent_since = since
            self._closed.clear()
            threading.Thread(target=self._watch, name="libvirt-probe", daemon=True).start()

    def _watch(self) -> None:
        self._probe_once()
        while self._hanging() >= MOST:
            time.sleep(PAUSE)
        self._closed.set()

    def _hanging(self) -> int:
        """The number of reads that were given up and are not over."""
        with self._guard:
            self._given_up = [end for end in self._given_up if not end.is_set()]
            return len(self._given_up)

    def _probe_once(self) -> None:
        """Have libvirt answer. An error is an answer too: libvirt is down, and no call hangs."""
        try:
            self._probe()
        except Exception:
            return

    def _error(self) -> LibvirtSilent:
        return LibvirtSilent(
            f"libvirt does not answer on {self._node}.",
            f"Look at it on {self._node}: systemctl status libvirtd",
        )
