"""What a service runs: units of systemd, and scripts in transient units, so that nothing is lost.

A script and all that it starts are in the cgroup of a unit of their own, which can be shown to be
empty. systemd-run waits for the script without a message bus: it does not have to run.
"""

import logging
from pathlib import Path

from msgspec import Struct

from mcv.errors import CommandFailed
from mcv.ha.gate import OPEN, Passage
from mcv.system import cgroups
from mcv.system.process import Run, run

log = logging.getLogger(__name__)

START = 120.0  # s that a unit or a script has to start, and to stop
STATUS = 10.0  # s that a script has to tell its status
MARGIN = 15.0  # s that systemd itself has
KILLED = 5.0  # s that what was killed has to end
ACTIVE = ("active", "reloading")
BETWEEN = ("activating", "deactivating")
ENABLED = ("enabled", "enabled-runtime")
SHOWN = ("LoadState", "ActiveState", "SubState", "UnitFileState", "Result")

# An init script of Debian's hands its work to the unit of the same name, away from its cgroup.
PLAINLY = ("--setenv=_SYSTEMCTL_SKIP_REDIRECT=1", "--setenv=SYSTEMCTL_SKIP_REDIRECT=1")


class UnitState(Struct, frozen=True, kw_only=True):
    """A unit in systemd's words; "not-found" is the `load` of one that is not there."""

    load: str = ""
    active: str = ""
    sub: str = ""
    file: str = ""
    result: str = ""

    @property
    def is_there(self) -> bool:
        return self.load == "loaded"

    @property
    def is_active(self) -> bool:
        return self.active in ACTIVE

    @property
    def is_enabled(self) -> bool:
        """Whether it starts with the host, by itself."""
        return self.file in ENABLED

    @property
    def in_words(self) -> str:
        words = self.active if self.active == self.sub else f"{self.active} ({self.sub})"
        return f"{words}, {self.result}" if self.result not in ("", "success") else words


class ServiceUnits:
    """Starts, stops and looks at units; each stop is checked by the unit's cgroup."""

    def __init__(self, run: Run = run, gate: Passage = OPEN, groups: Path = cgroups.ROOT) -> None:
        self._run = run
        self._gate = gate
        self._cgroups = groups

    def state(self, unit: str) -> UnitState:
        shown = f"--property={','.join(SHOWN)}"
        text = self._run("systemctl", "show", shown, "--", unit, timeout=STATUS)
        told = dict(line.partition("=")[::2] for line in text.splitlines())
        load, active, sub, file, result = (told.get(key, "") for key in SHOWN)
        return UnitState(load=load, active=active, sub=sub, file=file, result=result)

    def start(self, unit: str) -> None:
        """Start a unit, until it has started; harmless where it is active."""

        def started() -> None:
            try:
                self._run("systemctl", "start", "--", unit, timeout=START)
            except CommandFailed as error:
                raise _with_journal(error, unit) from error

        self._gate.begin(f"start {unit}", started)

    def start_script(self, unit: str, path: str) -> None:
        """Run `PATH start` to its end in a unit of its own, which stays with what it started.

        Harmless where that unit is active.
        """

        def started() -> None:
            if self.state(unit).is_active:
                return
            self._reset(unit)
            try:
                self._in_unit(unit, path, "start", START, remains=True)
            except CommandFailed as error:
                raise _with_journal(error, unit) from error

        self._gate.begin(f"start {path}", started)

    def stop(self, unit: str) -> None:
        """Stop a unit, and kill what is left of it. Raises CommandFailed where anything is."""
        trouble = ""
        try:
            self._run("systemctl", "stop", "--", unit, timeout=START)
        except CommandFailed as error:
            trouble = error.message  # systemd knows no transient unit that has ended
        if left := cgroups.tasks(unit, self._cgroups):
            log.warning("%s left %s behind", unit, ", ".join(cgroups.named(left)))
            left = cgroups.kill(unit, KILLED, self._cgroups)
        if left:
            named = ", ".join(cgroups.named(left))
            raise CommandFailed(f"{unit} is not stopped: {named} does not end. {trouble}".rstrip())
        state = self.state(unit)
        if state.is_active or state.active in BETWEEN:
            raise CommandFailed(f"{unit} is {state.in_words} after its stop. {trouble}".rstrip())
        self._reset(unit)

    def stop_script(self, unit: str, path: str) -> None:
        """Run `PATH stop`, and then stop the script's unit with all that it left running.

        A script that fails to stop is told of in the log; what counts is that nothing is left.
        """
        if self.state(unit).is_active or cgroups.tasks(unit, self._cgroups):
            try:
                self._in_unit(_beside(unit, "stop"), path, "stop", START)
            except CommandFailed as error:
                log.warning("%s: %s", unit, error)
        self.stop(unit)

    def is_gone(self, unit: str) -> bool:
        """Whether nothing of a unit runs: it is not active, and its cgroup is empty."""
        state = self.state(unit)
        is_quiet = not state.is_active and state.active not in BETWEEN
        return is_quiet and not cgroups.tasks(unit, self._cgroups)

    def script_trouble(self, unit: str, path: str) -> str:
        """Why a script does not run as it should, by `PATH status`; "" where it does."""
        if not self.state(unit).is_active:
            return f"{path} is not started"
        try:
            self._in_unit(_beside(unit, "status"), path, "status", STATUS)
        except CommandFailed as error:
            return f"`{path} status` failed: {error.message}"
        return ""

    def _in_unit(
        self, unit: str, path: str, verb: str, limit: float, remains: bool = False
    ) -> None:
        """Run a script as a oneshot unit. Without --wait, which needs the message bus.

        systemd-run returns when the start has ended, which for a oneshot is the script's end.
        """
        options = [
            f"--unit={unit}",
            f"--description=mcv: {path} {verb}",
            "--quiet",
            "--collect",
            "--property=Type=oneshot",
            *(["--property=RemainAfterExit=yes"] if remains else []),
            f"--property=TimeoutStartSec={limit:.0f}",
            f"--property=TimeoutStopSec={limit:.0f}",
            *PLAINLY,
        ]
        self._run("systemd-run", *options, "--", path, verb, timeout=limit + MARGIN)

    def _reset(self, unit: str) -> None:
        """Let systemd forget that a unit failed: a transient one of the name can begin anew."""
        try:
            self._run("systemctl", "reset-failed", "--", unit, timeout=STATUS)
        except CommandFailed:
            return  # it is not loaded, or has not failed


def _beside(unit: str, verb: str) -> str:
    return f"{unit.removesuffix('.service')}-{verb}.service"


def _with_journal(error: CommandFailed, unit: str) -> CommandFailed:
    return CommandFailed(error.message, error.hint or f"Why: journalctl --unit {unit}")
