"""This host's lease as mcvd sees it: mcv-lease's unit, its orders, and what it has published."""

import contextlib
import time
from pathlib import Path

from mcv.drivers.watchdogs import Watchdogs
from mcv.errors import Busy, CommandFailed, Unreadable
from mcv.ha import armed
from mcv.ha.armed import Armed
from mcv.system import lease
from mcv.system.process import Run, run
from mcv.system.start_gate import GateClosed, StartGate

UNIT = "mcv-lease.service"
UNITS = Path("/etc/systemd/system")
PAUSE = 0.2  # s between two looks


class LocalLease:
    """Tells mcv-lease what to do, and sees what it does.

    `certificate` and `key` are the paths of what this node shows to etcd.
    """

    def __init__(
        self,
        directory: Path,
        certificate: Path,
        key: Path,
        etcd_port: int,
        run: Run = run,
        units: Path = UNITS,
    ) -> None:
        self.watchdogs = Watchdogs(run)
        self.certificate, self.key = certificate, key
        self.etcd_port = etcd_port
        self.is_kept = False  # an operation under way here brings this node back online
        self._directory = directory
        self._run = run
        self._units = units

    @property
    def is_installed(self) -> bool:
        """Whether `make install` has put mcv-lease in place."""
        return (self._units / UNIT).exists()

    def is_running(self) -> bool:
        """Whether mcv-lease runs, or is on its way."""
        return self._state() in ("active", "activating", "reloading", "deactivating")

    def _state(self) -> str:
        try:
            shown = self._run("systemctl", "show", "--property=ActiveState", "--value", UNIT)
        except CommandFailed:
            return ""
        return shown.strip()

    def told(self) -> Armed | None:
        """What mcv-lease is told; None where this host is not armed."""
        try:
            return armed.read(self._directory)
        except Unreadable:
            return None

    def arm(self, wanted: Armed) -> bool:
        """Have mcv-lease run by this; whether that is new. Harmless while it does already.

        A lease that is valid has somebody who renews it: systemd is asked without one alone.
        Raises CommandFailed where it does not start.
        """
        is_new = self.told() != wanted
        if is_new:
            armed.write(wanted, self._directory)
        elif self.left():
            return False
        self._start()
        return is_new

    def _start(self) -> None:
        state = self._state()
        if state == "failed":
            self._run("systemctl", "reset-failed", UNIT)
        if state != "active":
            self._run("systemctl", "start", UNIT)

    def release(self, patience: float) -> None:
        """Have mcv-lease give its lease back and end, without a reset; harmless without one.

        It has to run for that: nobody else ends the watchdog, and one that just died, and is not
        started again, leaves it counting. Raises Busy where it still runs after `patience` seconds.
        """
        if self.told() is not None:
            with contextlib.suppress(CommandFailed):
                self._start()
        armed.remove(self._directory)
        until = time.monotonic() + patience
        while self.is_running():
            if time.monotonic() > until:
                raise Busy(
                    "mcv-lease does not end, so the watchdog still counts.",
                    f"Look there: journalctl -u {UNIT}",
                )
            time.sleep(PAUSE)

    def left(self) -> float | None:
        """For how many seconds the lease is still valid, 0 where it has ended; None without one."""
        file = lease.read(self._directory)
        if file is None or file.boot != lease.boot_id():
            return None
        return max(0.0, round(file.until - lease.now(), 1))

    def nothing_can_begin(self) -> bool:
        """Whether mcv-lease holds the start gate alone: nothing of mcv's runs, or can start."""
        try:
            with StartGate(self._directory).together(0):
                return False
        except GateClosed:
            return True
