"""mcv-lease with a file in place of its watchdog, and no reset: DIRECTORY.

The file `watchdog` tells what became of the device, each with CLOCK_BOOTTIME: open, feed, set N;
V is what was written to it; `reset` stands there in place of one.
"""

import os
import struct
import sys
from pathlib import Path

import mcv.system.reset
from mcv.ha import lease_process
from mcv.ha.armed import Armed
from mcv.ha.kept_watchdog import KeptWatchdog
from mcv.system import lease, process, systemd, watchdog
from mcv.system.watchdog import Watchdog

KIND = "File"
NONE = Path("/nonexistent")


class FileWatchdog:
    """The device: its time-out lies beside it, for it outlives the process."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "watchdog"
        self._timeout = directory / "timeout"

    def open(self, device: Path) -> Watchdog:
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        self._say(fd, "open")
        return Watchdog(fd, self.ioctl)

    def ioctl(self, fd: int, request: int, argument: bytes) -> bytes:
        if request == watchdog.GETSUPPORT:
            return struct.pack("=II32s", 0, 0, KIND.encode())
        if request == watchdog.SETTIMEOUT:
            [seconds] = struct.unpack("=i", argument)
            self._timeout.write_text(str(seconds))
            self._say(fd, f"set {seconds}")
        if request == watchdog.KEEPALIVE:
            self._say(fd, "feed")
        if request == watchdog.GETTIMEOUT:
            seconds = int(self._timeout.read_text()) if self._timeout.exists() else 60
            return struct.pack("=i", seconds)
        return argument

    def _say(self, fd: int, what: str) -> None:
        os.write(fd, f"{lease.now():.3f} {what}\n".encode())


def main(directory: Path) -> int:
    process.ENVIRONMENT["PATH"] = f"{directory}/tools:{process.ENVIRONMENT['PATH']}"
    device = FileWatchdog(directory)

    def reset(why: str, sysrq: Path = NONE, kmsg: Path = NONE) -> None:
        with (directory / "watchdog").open("a") as file:
            file.write(f"{lease.now():.3f} reset {why}\n")
        os._exit(9)

    mcv.system.reset.reset = reset

    def host_is_stopping(run_: process.Run = process.run, runs: Path = NONE) -> bool:
        return (directory / "stopping").exists()

    systemd.host_is_stopping = host_is_stopping

    def wrap(armed: Armed | None) -> KeptWatchdog:
        return KeptWatchdog(
            armed.device if armed else "",
            armed.kind if armed else "",
            lease_process.say,
            open_=device.open,
            adopt=lambda fd: Watchdog(fd, device.ioctl),
            sysfs=directory / "class",
        )

    return lease_process.serve(directory, wrap, directory)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
