"""The watchdog of mcv-lease: found by its name, and kept open by systemd between two processes.

Opening and closing it feed it. With systemd's copy of the descriptor neither happens when
mcv-lease ends and begins again: a process that is killed every second does not feed for ever.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from mcv.errors import McvError, SystemFailed
from mcv.ha.sends import Say
from mcv.system import descriptor_store
from mcv.system.process import Run, run
from mcv.system.watchdog import SOFTDOG, Watchdog

NAME = "watchdog"  # of the descriptor in systemd's store
PATIENCE = 1.0  # s that systemd has
TRIES = 5
LONG = 300  # s; a host that goes down has that long, where the watchdog cannot be stopped
CLASS = Path("/sys/class/watchdog")

Open = Callable[[Path], Watchdog]


class KeptWatchdog:
    """A host's watchdog of that identity, at that device unless its number has changed."""

    def __init__(
        self,
        device: str,
        kind: str,
        say: Say,
        *,
        open_: Open = Watchdog.open,
        adopt: Callable[[int], Watchdog] = Watchdog,
        run: Run = run,
        sysfs: Path = CLASS,
    ) -> None:
        self._device = Path(device)
        self._kind = kind
        self._say = say
        self._open = open_
        self._adopt = adopt
        self._run = run
        self._sysfs = sysfs
        self._watchdog: Watchdog | None = None
        self._is_kept = False

    @property
    def is_open(self) -> bool:
        return self._watchdog is not None

    @property
    def watchdog(self) -> Watchdog:
        if self._watchdog is None:
            raise SystemFailed("The watchdog is not open.")
        return self._watchdog

    def open(self, timeout: int, *, or_less: bool = False) -> int:
        """Take over what systemd has kept, else open the device; what it counts from now.

        `or_less`: a shorter timeout that it has stays. Raises SystemFailed.
        """
        self._watchdog = self._kept() or self._opened()
        self._keep()
        if or_less:
            timeout = min(timeout, self._watchdog.timeout())
        self._watchdog.set_timeout(timeout)
        return timeout

    def feed(self) -> None:
        self.watchdog.feed()
        if not self._is_kept:
            self._keep()

    def end(self) -> bool:
        """Have it count no more; whether it has stopped counting.

        With nowayout it cannot be stopped: it stays open, counts longer, and has to be fed on.
        systemd closes its copy first: the letter V is for the last one that is closed.
        """
        if self._counts_on():
            with contextlib.suppress(SystemFailed):
                self.watchdog.set_timeout(LONG)
            return False
        for _ in range(TRIES):
            if descriptor_store.forget(NAME, PATIENCE):
                break
            self.watchdog.feed()
        self.watchdog.end()
        self._watchdog = None
        return True

    def end_kept(self) -> bool:
        """End what systemd has kept of a process before, which died while its node was disarmed.

        Whether nothing counts: see `end`.
        """
        fd = descriptor_store.kept(NAME)
        if fd is None:
            return True
        self._watchdog = self._adopt(fd)
        self._is_kept = True
        return self.end()

    def _kept(self) -> Watchdog | None:
        fd = descriptor_store.kept(NAME)
        if fd is None:
            return None
        watchdog = self._adopt(fd)
        try:
            if watchdog.identity() == self._kind:
                self._is_kept = True
                return watchdog
        except McvError as error:
            self._say(f"the watchdog that systemd has kept is none: {error}")
        descriptor_store.forget(NAME, PATIENCE)
        watchdog.end()
        return None

    def _opened(self) -> Watchdog:
        watchdog = self._open(self._found())
        if (identity := watchdog.identity()) != self._kind:
            watchdog.end()
            raise SystemFailed(f"{self._device} is {identity}, and not {self._kind}.")
        return watchdog

    def _keep(self) -> None:
        """Without systemd's copy the watchdog is fed all the same, and it is tried again."""
        if not self._is_kept and os.environ.get(descriptor_store.SOCKET):
            self._is_kept = descriptor_store.keep(NAME, self.watchdog.fd, PATIENCE)
            if not self._is_kept:
                self._say("systemd does not keep the watchdog's descriptor")

    def _found(self) -> Path:
        """The device of that identity; the kernel's own timer is loaded where it is missing."""
        found = self._of_the_kind()
        if not found and self._kind == SOFTDOG:
            self._run("modprobe", "softdog", "nowayout=0", timeout=10)
            found = self._of_the_kind()
        if not found or self._device in found:
            return self._device
        return found[0]

    def _of_the_kind(self) -> list[Path]:
        return [
            self._device.with_name(path.parent.name)
            for path in sorted(self._sysfs.glob("*/identity"))
            if path.read_text(errors="replace").strip() == self._kind
        ]

    def _counts_on(self) -> bool:
        """Whether the driver was built or loaded with nowayout."""
        try:
            name = Path(os.readlink(f"/proc/self/fd/{self.watchdog.fd}")).name
            return (self._sysfs / name / "nowayout").read_text().strip() == "1"
        except OSError:
            return False
