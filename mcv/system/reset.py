"""Resetting this host at once: nothing is ended, nothing is written to disks."""

import contextlib
import ctypes
import os
from pathlib import Path

SYSRQ = Path("/proc/sysrq-trigger")
_LIBC = ctypes.CDLL(None, use_errno=True)  # loaded now: later the disk may be gone
RESTART = 0x01234567  # LINUX_REBOOT_CMD_RESTART
KMSG = Path("/dev/kmsg")


def reset(why: str, sysrq: Path = SYSRQ, kmsg: Path = KMSG) -> None:
    """Reset this host. Returns only where the kernel does neither: the watchdog will.

    The kernel's log gets the reason: it may be on a serial console, and the journal may not be
    written any more.
    """
    _write(kmsg, f"<2>mcv-lease: reset: {why}\n")
    _write(sysrq, "b")
    _LIBC.reboot(RESTART)


def _write(path: Path, text: str) -> None:
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
