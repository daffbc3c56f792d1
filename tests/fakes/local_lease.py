"""A lease that is only noted: what mcv-lease was told, and whether it has a lease by that."""

from pathlib import Path

from mcv.drivers.watchdogs import Measured, WatchdogSeen
from mcv.errors import Busy, CommandFailed, Refused
from mcv.ha import armed
from mcv.ha.armed import Armed
from mcv.system.watchdog import SOFTDOG


class FakeWatchdogs:
    """One watchdog, with hardware below unless a test says otherwise."""

    def __init__(self) -> None:
        self.seen: WatchdogSeen | None = WatchdogSeen(
            device="/dev/watchdog0", kind="iTCO_wdt", nowayout=False, least=2, most=600
        )
        self.open_by: list[str] = []
        self.systemd: list[str] = []
        self.vm = ""
        self.grain = 1.0
        self.takes: int | None = None  # the timeout that the driver takes, whatever is asked
        self.is_broken = False
        self.measured: list[tuple[str, int]] = []
        self.reloaded = 0

    def look(self) -> list[WatchdogSeen]:
        return [self.seen] if self.seen else []

    def chosen(self, wanted: str) -> WatchdogSeen | None:
        return self.seen

    def users(self, watchdog: WatchdogSeen) -> list[str]:
        return self.open_by

    def of_systemd(self, watchdog: WatchdogSeen) -> list[str]:
        return self.systemd

    def virtual(self) -> str:
        return self.vm

    def ready(self, kind: str, wanted: str = "") -> str:
        if self.seen is None or self.seen.kind != kind:
            raise Refused(f"This host has no watchdog {kind!r}.", "See: wdctl")
        return self.seen.device or "/dev/watchdog1"

    def reload_softdog(self) -> None:
        self.reloaded += 1
        self.seen = WatchdogSeen(device="/dev/watchdog1", kind=SOFTDOG, nowayout=False)

    def measure(self, device: str, seconds: int) -> Measured:
        if self.is_broken:
            raise CommandFailed(f"{device}: Device or resource busy")
        self.measured.append((device, seconds))
        assert self.seen is not None
        timeout = self.takes or seconds
        return Measured(kind=self.seen.kind, timeout=timeout, grain=self.grain)


class FakeLocalLease:
    """A lease that is had as soon as mcv-lease is told, and until it is told to end.

    What it was told is in a file, which outlives mcvd as mcv-lease does.
    """

    def __init__(self, directory: Path, watchdogs: FakeWatchdogs) -> None:
        self.directory = directory
        self.watchdogs = watchdogs
        self.is_installed = True
        self.has_no_lease = False
        self.does_not_end = False
        self.certificate, self.key = Path("/pki/certificate.pem"), Path("/pki/key.pem")
        self.etcd_port = 8421
        self.is_gate_closed = True
        self.is_kept = False

    def is_running(self) -> bool:
        return self.told() is not None

    def told(self) -> Armed | None:
        return armed.read(self.directory)

    def arm(self, wanted: Armed) -> bool:
        is_new = self.told() != wanted
        if is_new:
            armed.write(wanted, self.directory)
        return is_new

    def release(self, patience: float) -> None:
        if self.does_not_end:
            raise Busy("mcv-lease does not end, so the watchdog still counts.")
        armed.remove(self.directory)

    def left(self) -> float | None:
        return None if self.has_no_lease or self.told() is None else 10.0

    def nothing_can_begin(self) -> bool:
        return self.is_gate_closed
