"""A process that runs before others, and whose memory is never paged out."""

import contextlib
import ctypes
import os
import threading

PRIORITY = 10  # among real-time processes; what is not one waits
STACK = 256 * 1024  # bytes of a thread's stack: all of it is locked in memory
MCL_CURRENT, MCL_FUTURE = 1, 2

_LIBC = ctypes.CDLL(None, use_errno=True)


def process() -> list[str]:
    """Lock this process's memory and give it a real-time priority; what did not work, in words.

    To be called before there are threads. Commands that it starts get an ordinary priority.
    """
    threading.stack_size(STACK)
    troubles = []
    if _LIBC.mlockall(MCL_CURRENT | MCL_FUTURE) != 0:
        troubles.append(f"its memory may be paged out: {os.strerror(ctypes.get_errno())}")
    try:
        _set()
    except OSError as error:
        troubles.append(f"it has no real-time priority: {error.strerror}")
    return troubles


def thread_first() -> None:
    """Give the calling thread the priority of `process`, if the kernel allows it."""
    with contextlib.suppress(OSError):
        _set()


def thread() -> None:
    """Give the calling thread the priority of the process; without effect where it has none."""
    if os.sched_getscheduler(os.getpid()) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO:
        _set()


def _set() -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
