"""The file by which a host's programs know until when it may run guests: /run/mcv/lease.

mcv-lease writes it before it feeds the watchdog. It is read with Python's standard library
alone: DRBD's handlers and libvirt's hook are started while I/O or libvirt waits for them.
"""

import json
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

RUN = Path("/run/mcv")  # a reboot empties it
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
FILE = "lease"
PROMISES = "failsafe"  # the same form: when mcvd began the newest round of promises


@dataclass(frozen=True)
class LeaseFile:
    """Until when this boot's lease is valid, by CLOCK_BOOTTIME in seconds."""

    boot: str
    until: float

    def is_valid(self, boot: str, now: float) -> bool:
        return self.boot == boot and now < self.until


def now() -> float:
    """CLOCK_BOOTTIME in seconds: it goes on while the host is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id(path: Path = BOOT_ID) -> str:
    """The id of this boot of the host. Raises OSError."""
    return path.read_text(encoding="ascii").strip()


def read(run: Path = RUN, name: str = FILE) -> LeaseFile | None:
    """What mcv-lease has published; None where there is nothing that makes sense."""
    try:
        with (run / name).open(encoding="utf-8") as file:
            found = json.load(file)
        lease = LeaseFile(str(found["boot"]), float(found["until"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return lease if math.isfinite(lease.until) else None


def is_valid(run: Path = RUN) -> bool:
    """Whether this host may run guests now."""
    file = read(run)
    return file is not None and file.is_valid(boot_id(), now())


def write(file: LeaseFile, run: Path = RUN, name: str = FILE) -> None:
    """Replace the file: a reader finds the old text or the new one. Raises OSError."""
    run.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = run / f".{name}.draft"
    draft.unlink(missing_ok=True)
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as out:
        json.dump(asdict(file), out)
    draft.rename(run / name)


def remove(run: Path = RUN) -> None:
    """Say that this host has no lease; harmless where nothing says that it has one."""
    (run / FILE).unlink(missing_ok=True)
