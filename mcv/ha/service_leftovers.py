"""Services that are left on a host whose lease has ended, and their end.

They are known by the notes in /run/mcv/services, looked for in cgroups and among this host's
addresses, and ended without mcvd. systemd, which might hang, is asked to stop their units besides:
it would start some of them again.
"""

import contextlib
import json
import os
import signal
import threading
from pathlib import Path

from mcv.errors import McvError
from mcv.system import cgroups, service_notes
from mcv.system.process import Run
from mcv.system.service_notes import ServiceNote

ANSWER = 2.0  # s that ip and systemctl have


class ServiceRemains:
    """What the notes below `root` name."""

    def __init__(self, root: Path, run: Run) -> None:
        self._notes = root / "run/mcv"
        self._cgroups = root / "sys/fs/cgroup"
        self._proc = root / "proc"
        self._run = run

    def look(self) -> tuple[str, ...]:
        """Processes and addresses of services, in words; where `ip` fails, that is left too."""
        found: list[str] = []
        notes = service_notes.all_(self._notes)
        addresses = self._addresses() if notes else {}
        for note in notes:
            pids = [pid for unit in note.units for pid in cgroups.tasks(unit, self._cgroups)]
            found += (f"{note.name}: {task}" for task in cgroups.named(pids, self._proc))
            if addresses is None or _ip(note) in addresses:
                found.append(f"{note.name}: {note.address}")
        return tuple(found)

    def kill(self) -> None:
        """SIGKILL the processes, and take the addresses away; waits for no process's end."""
        notes = service_notes.all_(self._notes)
        for note in notes:
            for unit in reversed(note.units):
                self._kill(unit)
                threading.Thread(target=self._stop, args=(unit,), daemon=True).start()
        addresses = self._addresses() if notes else {}
        for note in notes:
            # Where it is not known what is there, it is tried.
            device = note.bridge if addresses is None else addresses.get(_ip(note))
            if device is not None:
                self._try("ip", "address", "del", note.address, "dev", device)

    def _kill(self, unit: str) -> None:
        for pid in cgroups.tasks(unit, self._cgroups):
            with contextlib.suppress(OSError):
                process = os.pidfd_open(pid)
                try:
                    # The number may be another process's meanwhile.
                    if pid in cgroups.tasks(unit, self._cgroups):
                        signal.pidfd_send_signal(process, signal.SIGKILL)
                finally:
                    os.close(process)

    def _stop(self, unit: str) -> None:
        self._try("systemctl", "--no-block", "stop", "--", unit)

    def _try(self, *command: str) -> None:
        with contextlib.suppress(McvError):
            self._run(*command, timeout=ANSWER)

    def _addresses(self) -> dict[str, str] | None:
        """The devices of this host by their addresses; None where that is not told."""
        try:
            text = self._run("ip", "-json", "-4", "address", "show", timeout=ANSWER)
            return {
                str(entry["local"]): str(link["ifname"])
                for link in json.loads(text or "[]")
                for entry in link.get("addr_info", [])
            }
        except (McvError, ValueError, KeyError, TypeError, AttributeError):
            return None


def _ip(note: ServiceNote) -> str:
    return note.address.partition("/")[0]
