"""The lab's watcher for an instant of a plan sees what is there, comes, or does not come."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mcv.system import files
from tests.lab import watch


def step(state: Path, position: int, operation: str = "a") -> None:
    text = f'{{\n "operation": "{operation}",\n "position": {position},\n "serial": 1\n}}'
    files.write_atomically(state / f"journal/{operation}.json", text)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "journal").mkdir()
    return tmp_path


def seen(state: Path, instant: str, happens: Callable[[], None]) -> bool:
    """Whether a watcher sees the instant, while something happens beside it."""
    timer = threading.Timer(0.2, happens)
    timer.start()
    try:
        return watch.watch(state, instant, 1)
    finally:
        timer.join()


def test_a_step_and_a_proposal_are_seen_when_they_come(state: Path) -> None:
    step(state, 1, "of-another")
    assert seen(state, "2", lambda: step(state, 2))
    assert seen(state, watch.PROPOSED, lambda: files.write_atomically(state / "proposal.json", ""))


def test_what_is_there_already_is_seen(state: Path) -> None:
    step(state, 0)
    assert seen(state, "0", lambda: None)


def test_another_step_is_none(state: Path) -> None:
    assert not seen(state, "1", lambda: step(state, 11))
    assert not seen(state, watch.PROPOSED, lambda: step(state, 1, "proposal"))


def test_without_a_journal_the_watcher_says_so_and_ends(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot be watched"):
        watch.watch(tmp_path / "nowhere", "0", 1)


def test_the_watcher_needs_nothing_but_python() -> None:
    loads = f"import runpy; runpy.run_path({str(watch.__file__)!r})"
    subprocess.run([sys.executable, "-I", "-S", "-c", loads], check=True)
