"""A fresh machine leaves nothing: no process, no mount, and no directory but the one to be kept."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fresh import machine
from tests.fresh.machine import TREE, Failed, Machine, Refused, alone

pytestmark = pytest.mark.lab  # namespaces and mounts need root

# Runs until it is told to end, with a process of another session beside it.
LASTING = """
import os, sys
from tests.fresh import __main__, machine
from tests.fresh.machine import Machine
from pathlib import Path

machine.HOME = Path(sys.argv[1])
machine.PREFIX = "lasting-"
mark = sys.argv[2]
line = f"setsid sleep {mark} & mount -t tmpfs tmpfs {sys.argv[1]}; touch {sys.argv[3]}; sleep 60"
Machine.install = lambda self: machine.alone("sh", "-c", line, environment=os.environ)
__main__.require = lambda: None
sys.argv[1:] = []
sys.exit(__main__.main())
"""


def sleepers(mark: str) -> list[int]:
    """The processes that sleep for just so long."""
    lines = subprocess.run(
        ["grep", "-lzx", mark, *map(str, Path("/proc").glob("[0-9]*/cmdline"))],
        capture_output=True,
        text=True,
    ).stdout
    return [int(Path(line).parent.name) for line in lines.split()]


@pytest.fixture
def mark() -> str:
    """A number of seconds that nothing else sleeps for."""
    return f"6{os.getpid()}.{time.monotonic_ns() % 1000:03}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of machines; making one takes no time."""
    monkeypatch.setattr(machine, "HOME", tmp_path)
    monkeypatch.setattr(Machine, "install", lambda self: self.root.mkdir())
    return tmp_path


def test_what_a_command_started_and_mounted_ends_with_it(tmp_path: Path, mark: str) -> None:
    line = f"setsid sleep {mark} & mount -t tmpfs tmpfs {tmp_path} && touch {tmp_path}/mounted"

    alone("sh", "-c", line, environment=os.environ)

    assert sleepers(mark) == []
    assert not os.path.ismount(tmp_path) and list(tmp_path.iterdir()) == []


def test_a_command_that_fails_is_told() -> None:
    with pytest.raises(Failed, match=r"`sh -c exit 3` exited with 3\."):
        alone("sh", "-c", "exit 3", environment=os.environ)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_when_a_signal_ends_it(
    number: signal.Signals, tmp_path: Path, mark: str
) -> None:
    home, ready = tmp_path / "home", tmp_path / "ready"
    home.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", LASTING, str(home), mark, str(ready)], cwd=TREE
    )
    while not ready.exists():
        assert process.poll() is None
        time.sleep(0.05)
    assert sleepers(mark)

    process.send_signal(number)
    process.wait(timeout=20)

    until = time.monotonic() + 5 * (number == signal.SIGKILL)
    while sleepers(mark) and time.monotonic() < until:
        time.sleep(0.05)
    assert sleepers(mark) == []
    # Only a maker that is killed leaves its directory, for the next to remove.
    assert bool(list(home.iterdir())) == (number == signal.SIGKILL)


def test_a_machine_is_removed_after_a_failure(home: Path) -> None:
    with pytest.raises(Failed), Machine.made(None) as made:
        assert made.root.exists()
        raise Failed

    assert list(home.iterdir()) == []


def test_a_machine_that_is_to_be_kept_is_kept_and_made_anew_the_next_time(home: Path) -> None:
    kept = home / "kept"
    with Machine.made(kept) as made:
        (made.root / "old").touch()
    assert (kept / "root/old").exists()

    with Machine.made(kept):
        assert not (kept / "root/old").exists()


def test_a_directory_of_something_else_is_refused_and_stays(home: Path) -> None:
    (home / "precious").mkdir()
    (home / "precious/file").touch()

    with pytest.raises(Refused, match="is not empty"), Machine.made(home / "precious"):
        pass

    assert (home / "precious/file").exists()


def test_what_a_killed_run_left_is_removed_and_what_is_in_use_stays(home: Path) -> None:
    left = Machine(home / f"{machine.PREFIX}left")
    left.root.mkdir(parents=True)
    (left.directory / "lock").touch()

    with Machine.made(None) as first:
        assert not left.directory.exists()
        with Machine.made(None):
            assert first.root.exists()
