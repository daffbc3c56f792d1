"""A bare Debian in a directory, and processes in it that nothing outlives."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.fresh import settings

HERE = Path(__file__).parent
TREE = HERE.parents[1]
PACKAGES = "git,make"
PREFIX = "mcv-fresh-"
HOME = Path("/var/tmp")
EVIDENCE = TREE / ".lab" / "fresh"


class Refused(Exception):
    """Nothing was begun."""


class Failed(Exception):
    """A step of the fresh machine did not end well."""


class Machine:
    """A directory with a root in it. The lock says that somebody is at work, and who made it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = directory / "root"
        self._settings = directory / "settings"
        self._directories = directory / "directories"
        self._environment = settings.environment(os.environ)

    @classmethod
    @contextmanager
    def made(cls, keep: Path | None) -> Iterator["Machine"]:
        """A new machine, removed at the end unless it is to be kept."""
        remove_left()
        directory = keep or Path(tempfile.mkdtemp(prefix=PREFIX, dir=HOME))
        if keep:
            _clear(keep)
        machine = cls(directory)
        with machine.locked():
            try:
                machine.install()
                yield machine
            finally:
                if not keep:
                    remove(directory)

    @contextmanager
    def locked(self) -> Iterator[None]:
        with (self.directory / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Refused(f"The machine in {self.directory} is in use.") from error
            yield

    def install(self) -> None:
        """Make the root: what Debian requires, git and make, and the host's package settings."""
        settings.copy(self._settings, os.environ)
        directories = settings.directories(os.environ)
        self._directories.write_text("".join(f"{name}\n" for name in directories))
        replaced = '"$1"/etc/apt/sources.list' if self._has_sources else ""
        alone(
            "mmdebstrap",
            "--mode=root",
            "--variant=minbase",
            f"--include={PACKAGES}",
            f'--setup-hook=rm -f {replaced} && cp -RT {self._settings} "$1"',
            settings.RELEASE,
            self.root,
            environment=dict(os.environ),
        )
        shutil.copytree(self._settings, self.root, dirs_exist_ok=True)
        shutil.rmtree(self._settings)

    def clone(self) -> None:
        """Bring the tree's HEAD into root's home; what is not committed stays where it is."""
        bundle = self.root / "root/mcv.bundle"
        git = ["git", "-c", f"safe.directory={TREE}", "-C", str(TREE)]
        subprocess.run([*git, "bundle", "create", "--quiet", bundle, "HEAD"], check=True)
        self.run("git", "clone", "--quiet", "/root/mcv.bundle", "/root/mcv")

    def run(self, *command: str, terminal: bool = False) -> None:
        """Run a command in the root; nothing that it started is left when it has ended."""
        enter = ["bash", str(HERE / "enter.sh"), str(self.directory)]
        alone(*enter, *command, environment=self._environment, terminal=terminal)

    def keep_evidence(self) -> None:
        """Bring what the demo and tests kept of their failure to the tree that is tested."""
        shutil.rmtree(EVIDENCE, ignore_errors=True)
        if (kept := self.root / "root/mcv/.lab/failures").exists():
            shutil.copytree(kept, EVIDENCE)
            print(f"fresh: the nodes' logs are in {EVIDENCE}", file=sys.stderr)

    @property
    def _has_sources(self) -> bool:
        return any((self._settings / name).exists() for name in settings.APT_SOURCES)


def alone(*command: str | Path, environment: Mapping[str, str], terminal: bool = False) -> None:
    """Run a command in mount and process namespaces, which end with it or with this process."""
    within = "setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork"
    process = subprocess.Popen(
        [*within.split(), "--kill-child", "--", *command],
        stdin=None if terminal else subprocess.DEVNULL,
        env=environment,
        start_new_session=not terminal,
    )
    try:
        code = process.wait()
    finally:
        _end(process)
    if code != 0:
        raise Failed(f"`{' '.join(map(str, command))}` exited with {code}.")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill the first process of the namespaces; all others of theirs are gone before it is."""
    if process.poll() is not None:
        return
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for pid in children.read_text().split() or [str(process.pid)]:
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    process.wait()


def _clear(directory: Path) -> None:
    """Make room for a new machine where there was none, or an earlier one that was kept."""
    if directory.exists() and any(directory.iterdir()):
        if not (directory / "lock").exists():
            raise Refused(f"{directory} is not empty, and no fresh machine either.")
        with Machine(directory).locked():
            remove(directory)
    directory.mkdir(parents=True, exist_ok=True)


def remove_left() -> None:
    """Remove machines whose makers were killed before they could."""
    for lock in HOME.glob(f"{PREFIX}*/lock"):
        directory = lock.parent
        with suppress(Refused, FileNotFoundError), Machine(directory).locked():
            print(f"fresh: removing {directory}, left by a run that was killed", file=sys.stderr)
            remove(directory)


def remove(directory: Path) -> None:
    subprocess.run(["rm", "-rf", "--one-file-system", "--", directory], check=True)
