"""A watchdog of this host: Linux's /dev/watchdogN, which resets the host unless it is fed.

Opening it starts it, and feeds; closing it feeds too. Only a close after the letter V ends it,
and not even that where the driver was built or loaded with nowayout.
"""

import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path

from mcv.errors import SystemFailed, of_system

# ioctls of linux/watchdog.h
GETSUPPORT = 0x80285700
KEEPALIVE = 0x80045705
SETTIMEOUT = 0xC0045706
GETTIMEOUT = 0x80045707
GETTIMELEFT = 0x8004570A

SOFTDOG = "Software Watchdog"  # the identity of the kernel's own timer: no hardware
_INFO = struct.Struct("=II32s")  # options, firmware version, identity
_NUMBER = struct.Struct("=i")

Ioctl = Callable[[int, int, bytes], bytes]


def _ioctl(fd: int, request: int, argument: bytes) -> bytes:
    return fcntl.ioctl(fd, request, argument)


class Watchdog:
    """A watchdog that counts: `fd` is its open descriptor."""

    def __init__(self, fd: int, ioctl: Ioctl = _ioctl) -> None:
        self.fd = fd
        self._ioctl = ioctl

    @classmethod
    def open(cls, device: Path) -> "Watchdog":
        """Open the device, which feeds and starts it. Raises SystemFailed, busy among it."""
        try:
            return cls(os.open(device, os.O_WRONLY | os.O_CLOEXEC))
        except OSError as error:
            raise of_system(error) from error

    def identity(self) -> str:
        """The driver's own name. Raises SystemFailed where this is no watchdog."""
        _, _, name = _INFO.unpack(self._ask(GETSUPPORT, bytes(_INFO.size)))
        return str(name.partition(b"\0")[0].decode(errors="replace"))

    def timeout(self) -> int:
        """Within how many seconds it has to be fed."""
        return self._number(GETTIMEOUT)

    def time_left(self) -> int | None:
        """The seconds until it resets; None where the driver does not tell."""
        try:
            return self._number(GETTIMELEFT)
        except SystemFailed:
            return None

    def set_timeout(self, seconds: int) -> None:
        """Set its timeout, which feeds it; nothing happens where it is the same.

        Raises SystemFailed where the driver takes another one.
        """
        if self.timeout() == seconds:
            return
        self._number(SETTIMEOUT, seconds)
        if (taken := self.timeout()) != seconds:
            raise SystemFailed(f"The watchdog counts {taken} s, not {seconds} s.")

    def feed(self) -> None:
        """Have it count anew. Raises SystemFailed."""
        self._ask(KEEPALIVE, _NUMBER.pack(0))

    def end(self) -> None:
        """Have it count no more, and close it; with nowayout it counts on from now."""
        try:
            os.write(self.fd, b"V")
        except OSError as error:
            raise of_system(error) from error
        finally:
            os.close(self.fd)

    def _number(self, request: int, value: int = 0) -> int:
        number: int = _NUMBER.unpack(self._ask(request, _NUMBER.pack(value)))[0]
        return number

    def _ask(self, request: int, argument: bytes) -> bytes:
        try:
            return self._ioctl(self.fd, request, argument)
        except OSError as error:
            raise of_system(error) from error
