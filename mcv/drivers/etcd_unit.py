"""mcv's own etcd on this host: its files below /var/lib/mcv/etcd, and its unit."""

import contextlib
import hashlib
import logging
import shutil
from pathlib import Path

from mcv.errors import CommandFailed, Refused, in_words
from mcv.etcd.config import Configuration
from mcv.system import files
from mcv.system.process import Run, run

log = logging.getLogger(__name__)

UNIT = "mcv-etcd.service"
DEBIANS = "etcd.service"  # which the package starts by itself
PROGRAM = Path("/usr/bin/etcd")
FIRST_START = "ETCD_INITIAL_CLUSTER"  # what begins so is read at the first start alone
RUNNING = ("active", "activating", "reloading")


class EtcdUnit:
    """Writes what etcd starts by, starts and stops it, and tells whether it lost its data.

    A voter that has lost its data has forgotten what it promised: under its old name it would
    vote anew. The mark `member` beside the data tells; with it and without data the unit does
    not start.
    """

    def __init__(
        self,
        directory: Path,
        run: Run = run,
        program: Path = PROGRAM,
        unit: Path = Path("/etc/systemd/system") / UNIT,
    ) -> None:
        self.directory = directory
        self._unit = unit
        self._run = run
        self._program = program

    @property
    def _config(self) -> Path:
        return self.directory / "etcd.env"

    @property
    def _mark(self) -> Path:
        return self.directory / "member"

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _members_data(self) -> Path:
        return self._data / "member"

    @property
    def is_installed(self) -> bool:
        """Whether this host has etcd at all."""
        return self._program.exists()

    @property
    def text(self) -> str:
        """The unit as it is installed here, for a machine without mcv. Raises Refused."""
        text = files.read_or_none(self._unit)
        if text is None:
            raise Refused(f"{self._unit} is not there.", "Put it in place: make install")
        return text

    @property
    def is_set_up(self) -> bool:
        """Whether the unit starts with this host."""
        return self._config.exists()

    @property
    def is_there(self) -> bool:
        """Whether anything of a member is on this host, be it the rest of one that went."""
        return self._config.exists() or self._mark.exists() or self._data.exists()

    @property
    def has_data(self) -> bool:
        """Whether the data of a member are on this host."""
        return self._members_data.is_dir()

    @property
    def has_lost_data(self) -> bool:
        """Whether etcd has run here as a member and its data is gone."""
        return self._mark.exists() and not self._members_data.is_dir()

    @property
    def _started_by(self) -> Path:
        return self.directory / "started-by"

    def runs_by(self, configuration: Configuration, certificate: str, bundle: str) -> bool:
        """Whether etcd was started last by the very files that `set_up` would write now."""
        noted = files.read_or_none(self._started_by) or ""
        return noted == _digest(configuration.text(), certificate, bundle)

    def set_up(self, configuration: Configuration, certificate: str, bundle: str) -> None:
        """Write what etcd starts by; what runs is not touched. Without effect where it is so.

        Raises Refused where this host has no etcd, or has lost the data of a member.
        """
        if not self.is_installed:
            raise Refused(
                f"This host has no etcd ({self._program}).", "Install it: apt install etcd-server"
            )
        if self.has_lost_data:
            raise Refused(
                "etcd has lost its data on this host, so it may not start as the member it was.",
                "It has to leave etcd and to join it anew.",
            )
        files.write_atomically(configuration.bundle, bundle)
        files.write_atomically(configuration.certificate, certificate)
        files.write_atomically(self._config, configuration.text())

    def start(self) -> None:
        """Start etcd, which may take long to serve; harmless while it runs.

        Debian's own is stopped and masked until `discard`: nobody is to take one for the other.
        """
        self._mask_debians()
        state = self._state()
        if state == "failed":
            self._run("systemctl", "reset-failed", UNIT)
        self._run("systemctl", "start", UNIT)
        if state not in RUNNING:
            self._note_start()

    @property
    def _masked(self) -> Path:
        return self.directory / "masked"

    def _mask_debians(self) -> None:
        asked = "--property=LoadState,ActiveState"
        told = self._run("systemctl", "show", asked, DEBIANS).splitlines()
        states = dict(line.partition("=")[::2] for line in told)
        if states.get("LoadState") not in ("loaded", "bad-setting", "error"):
            return  # it is masked already, or is not there
        if not self._masked.exists():
            files.write_atomically(self._masked, states.get("ActiveState", ""))
        try:
            self._run("systemctl", "mask", "--now", DEBIANS)
        except CommandFailed as error:
            log.warning("%s is not masked: %s", DEBIANS, error)  # another unit of that name

    def _unmask_debians(self) -> None:
        if (was := files.read_or_none(self._masked)) is None:
            return
        self._run("systemctl", "unmask", DEBIANS)
        if was.strip() == "active":
            with contextlib.suppress(CommandFailed):
                self._run("systemctl", "start", DEBIANS)
        files.remove(self._masked)

    def restart(self) -> None:
        """End etcd and start it again: it reads its files at its start alone."""
        self._run("systemctl", "restart", UNIT)
        self._note_start()

    def _note_start(self) -> None:
        """Note by which files etcd was started; killed before, mcvd starts it once more."""
        names = (self._config, self.directory / "certificate.pem", self.directory / "bundle.pem")
        text = _digest(*(files.read_or_none(path) or "" for path in names))
        files.write_atomically(self._started_by, text)

    def is_running(self) -> bool:
        """Whether the unit runs."""
        return self._state() in RUNNING

    def mark(self) -> None:
        """Note that etcd has data here; to be called when it has answered once."""
        if self._members_data.is_dir() and not self._mark.exists():
            files.write_atomically(self._mark, "etcd has run here as a member\n")

    def discard(self) -> None:
        """Stop etcd and delete all of it: it is no member any more. Harmless where it is gone.

        What it starts by goes first: from then on nothing starts it.
        """
        files.remove(self._config)
        files.remove(self._started_by)
        if self.is_running():
            self._run("systemctl", "stop", UNIT)
        with in_words(self.directory):
            if self._data.exists():
                shutil.rmtree(self._data)
        if self.directory.is_dir():
            files.sync_directory(self.directory)
        self._unmask_debians()
        files.remove(self._mark)

    def _state(self) -> str:
        try:
            shown = self._run("systemctl", "show", "--property=ActiveState", "--value", UNIT)
        except CommandFailed:
            return ""
        return shown.strip()


def _digest(configuration: str, certificate: str, bundle: str) -> str:
    """By what etcd runs: with data of its own it reads nothing of who began with it."""
    lines = [line for line in configuration.splitlines() if not line.startswith(FIRST_START)]
    return hashlib.sha256("\n".join([*lines, certificate, bundle]).encode()).hexdigest()
