"""A watchdog without a device: it counts by this host's clock, and notes its resets."""

import errno
import os
import struct
import time

from mcv.system import watchdog
from mcv.system.watchdog import Watchdog


class FakeWatchdog:
    """Answers the ioctls of an open watchdog; `most` is the longest time-out that it can count."""

    def __init__(self, identity: str = "Fake", timeout: int = 60, most: int = 600) -> None:
        self.name = identity
        self.seconds = timeout
        self.most = most
        self.feeds: list[float] = []
        self.fails = False
        self.reading, self.fd = os.pipe()

    def ioctl(self, fd: int, request: int, argument: bytes) -> bytes:
        if self.fails or fd != self.fd:
            raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")
        if request == watchdog.GETSUPPORT:
            return struct.pack("=II32s", 0x8180, 0, self.name.encode())
        if request == watchdog.GETTIMEOUT:
            return struct.pack("=i", self.seconds)
        if request == watchdog.SETTIMEOUT:
            [seconds] = struct.unpack("=i", argument)
            self.seconds = min(seconds, self.most)
            self.feeds.append(time.monotonic())
            return struct.pack("=i", self.seconds)
        if request == watchdog.KEEPALIVE:
            self.feeds.append(time.monotonic())
            return argument
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    def opened(self) -> Watchdog:
        return Watchdog(self.fd, self.ioctl)

    def said(self) -> bytes:
        """What was written to the device; it has to have been closed."""
        with open(self.reading, "rb") as file:
            return file.read()
