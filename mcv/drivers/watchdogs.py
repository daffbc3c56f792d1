"""The watchdogs of this host: which there are, who uses them, and what one was measured to be.

A look opens none: opening a watchdog starts it.
"""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from mcv.document.generation import Value
from mcv.drivers import open_devices
from mcv.errors import CommandFailed, NotUnderstood, Refused
from mcv.system.process import Run, run
from mcv.system.watchdog import SOFTDOG

MODULE = "softdog"
TRIAL = "mcv.system.watchdog_trial"
TRIAL_TIME = 30.0  # s
MAGIC_CLOSE = 0x0100  # WDIOF_MAGICCLOSE of linux/watchdog.h

Word = str | None  # of a file in sysfs; None where the kernel does not tell


class WatchdogSeen(Value, frozen=True, kw_only=True):
    """A watchdog as the kernel shows it; what the kernel does not tell is None, or "".

    A softdog that is not loaded yet has no device.
    """

    device: str
    kind: str
    nowayout: bool | None = None
    ends_when_closed: bool | None = None  # whatever was written to it before
    is_active: bool = False
    least: int | None = None
    most: int | None = None

    @property
    def is_softdog(self) -> bool:
        return self.kind == SOFTDOG


class Measured(Value, frozen=True, kw_only=True):
    """What a trial told: identity, timeout in s, and how many s later it may reset."""

    kind: str
    timeout: int
    grain: float


class Watchdogs:
    """Finds a watchdog, loads softdog, and has one tried."""

    def __init__(
        self, run: Run = run, root: Path = Path("/"), python: Callable[[], str] | None = None
    ) -> None:
        self._run = run
        self._root = root
        self._python = python or (lambda: sys.executable)

    # What is there

    def look(self) -> list[WatchdogSeen]:
        """Every watchdog that the kernel has, by number; none of other interfaces."""
        class_ = self._root / "sys/class/watchdog"
        found = [path for path in class_.glob("watchdog*") if path.name[8:].isdecimal()]
        return [self._seen(path) for path in sorted(found, key=lambda path: int(path.name[8:]))]

    def _seen(self, path: Path) -> WatchdogSeen:
        return WatchdogSeen(
            device=f"/dev/{path.name}",
            kind=_word(path / "identity") or self._kind_without_word(path),
            nowayout={"1": True, "0": False}.get(_word(path / "nowayout") or ""),
            ends_when_closed=_ends_when_closed(_word(path / "options")),
            is_active=_word(path / "state") == "active",
            least=_number(path / "min_timeout"),
            most=_number(path / "max_timeout"),
        )

    def _kind_without_word(self, path: Path) -> str:
        """Of a kernel that shows no identities: softdog is the one without hardware below."""
        is_virtual = "virtual" in path.resolve().parts
        is_loaded = (self._root / "sys/module" / MODULE).exists()
        return SOFTDOG if is_virtual and is_loaded else ""

    def chosen(self, wanted: str) -> WatchdogSeen | None:
        """The watchdog of a setting: softdog, a device, an identity; None where there is none.

        Without a setting the first with hardware, else softdog, loaded or not.
        """
        seen = self.look()
        if wanted == MODULE:
            return self._softdog(seen)
        if wanted:
            return next((each for each in seen if wanted in (each.device, each.kind)), None)
        hardware = [each for each in seen if not each.is_softdog]
        return hardware[0] if hardware else self._softdog(seen)

    def _softdog(self, seen: list[WatchdogSeen]) -> WatchdogSeen | None:
        loaded = next((each for each in seen if each.is_softdog), None)
        if loaded is not None:
            return loaded
        try:
            self._run("modinfo", MODULE)
        except CommandFailed:
            return None
        return WatchdogSeen(device="", kind=SOFTDOG)

    def users(self, watchdog: WatchdogSeen) -> list[str]:
        """The processes that have it open."""
        if not watchdog.device:
            return []
        path = watchdog.device.removeprefix("/")
        return [str(holder) for holder in open_devices.holders(self._root, path)]

    def of_systemd(self, watchdog: WatchdogSeen) -> list[str]:
        """The settings by which systemd uses this watchdog, as it was configured."""
        device = watchdog.device or self._next_device()
        told = self._run(
            "systemctl",
            "show",
            "--property=RuntimeWatchdogUSec",
            "--property=RebootWatchdogUSec",
            "--property=WatchdogDevice",
        )
        values = dict(line.partition("=")[::2] for line in told.splitlines())
        theirs = values.get("WatchdogDevice") or self._default_device()
        if not self._is_same(theirs, device):
            return []
        names = {
            "RuntimeWatchdogUSec": "RuntimeWatchdogSec",
            "RebootWatchdogUSec": "RebootWatchdogSec",
        }
        return [
            f"{name}={values[key]}"
            for key, name in names.items()
            if values.get(key, "0") not in ("", "0")
        ]

    def _default_device(self) -> str:
        """Which one systemd takes by itself: the first, or that of an old interface."""
        has_first = (self._root / "dev/watchdog0").exists()
        has_old = (self._root / "dev/watchdog").exists()
        return "/dev/watchdog" if has_old and not has_first else "/dev/watchdog0"

    def _next_device(self) -> str:
        """Which number softdog gets; the first is an old interface's where that one is in use."""
        taken = {each.device for each in self.look()}
        if not taken and (self._root / "dev/watchdog").exists():
            return "/dev/watchdog1"
        return next(
            name for n in range(len(taken) + 1) if (name := f"/dev/watchdog{n}") not in taken
        )

    def _is_same(self, theirs: str, ours: str) -> bool:
        """/dev/watchdog is another name of the first one, unless an old driver has it."""
        alias = self._root / "dev/watchdog"
        first = self._root / "dev/watchdog0"
        if theirs == "/dev/watchdog" and (first.exists() or not alias.exists()):
            theirs = "/dev/watchdog0"
        return theirs == ours

    def virtual(self) -> str:
        """What this host is a virtual machine of, in systemd's word; "" for a real one."""
        with contextlib.suppress(CommandFailed):
            told = self._run("systemd-detect-virt", "--vm").strip()
            return "" if told == "none" else told
        return ""

    # What is done

    def ready(self, kind: str, wanted: str = "") -> str:
        """The device of the watchdog with this identity; softdog is loaded where it is not.

        Raises Refused where this host has none.
        """
        seen = [each for each in self.look() if each.kind == kind]
        if not seen and kind == SOFTDOG:
            self._run("modprobe", MODULE, "nowayout=0")
            seen = [each for each in self.look() if each.is_softdog]
        by_device = [each for each in seen if each.device == wanted]
        if not seen:
            raise Refused(f"This host has no watchdog {kind!r}.", "See: wdctl")
        return (by_device or seen)[0].device

    def reload_softdog(self) -> None:
        """Load softdog so that it can be ended: its own default is that it cannot.

        Raises Refused while somebody uses it.
        """
        if (self._root / "sys/module" / MODULE).exists():
            try:
                self._run("modprobe", "--remove", MODULE)
            except CommandFailed as error:
                raise Refused(
                    f"softdog is in use: {error.message}", "By whom: fuser /dev/watchdog*"
                ) from error
        self._run("modprobe", MODULE, "nowayout=0")

    def measure(self, device: str, seconds: int) -> Measured:
        """Try the watchdog for some seconds, which starts and ends it.

        Raises CommandFailed where it is busy, or is none.
        """
        told = self._run(
            self._python(), "-I", "-m", TRIAL, device, str(seconds), timeout=TRIAL_TIME
        )
        try:
            return msgspec.json.decode(told, type=Measured)
        except msgspec.MsgspecError as error:
            raise NotUnderstood(f"The trial of {device} told nonsense: {error}.") from error


def _ends_when_closed(options: Word) -> bool | None:
    """Whether a driver's options, in hexadecimal, lack the one that a letter has to come first."""
    try:
        return not int(options or "", 16) & MAGIC_CLOSE
    except ValueError:
        return None


def _word(path: Path) -> Word:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _number(path: Path) -> int | None:
    word = _word(path)
    return int(word) if word is not None and word.isdecimal() and int(word) else None
