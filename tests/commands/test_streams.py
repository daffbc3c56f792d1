"""A stdout that is closed, full, or read no further: the work goes on, and its end tells it."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from mcv.commands import output
from tests.commands.conftest import FakeDaemon, Speak, a_vm

SCRIPT = "import sys; from mcv.cli import main; sys.argv = ['mcv', *sys.argv[1:]]; main()"
FULL = f'exec > /dev/full; {sys.executable} -c "$0" "$@"'
CLOSED = f'exec >&-; {sys.executable} -c "$0" "$@"'
ALL_CLOSED = f'exec <&- >&- 2>&-; {sys.executable} -c "$0" "$@"'


def shell(line: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line, SCRIPT, *words], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("words", ["--version", "--help", "create --help"])
@pytest.mark.parametrize(
    ("line", "why"), [(FULL, "No space left on device"), (CLOSED, "Bad file descriptor")]
)
def test_what_cannot_be_written_is_told_in_one_line(words: str, line: str, why: str) -> None:
    done = shell(line, *words.split())

    assert done.returncode == 3
    assert done.stderr.splitlines()[0] == f"Error: stdout cannot be written: {why}."
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_with_all_streams_closed_nothing_breaks() -> None:
    assert shell(ALL_CLOSED, "--version").returncode == 3
    assert shell(ALL_CLOSED, "no-such-word").returncode == 2


def test_a_reader_that_went_away_is_no_failure() -> None:
    line = f'{sys.executable} -c "$0" "$@" | true; echo ${{PIPESTATUS[0]}}'
    done = shell(line, "create", "--help")
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.fixture
def unwritable(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Have every line for stdout fail with an error."""

    def fail(number: int) -> None:
        def write(self: output.PatientStream, text: str) -> int:
            if self.stream.name == "<stderr>":
                return int(self.stream.write(text))
            self.error = OSError(number, os.strerror(number))
            return len(text)

        monkeypatch.setattr(output.PatientStream, "write", write)

    return fail


def test_a_list_that_cannot_be_written_has_changed_nothing(
    mcv: Speak, daemon: FakeDaemon, unwritable: Callable[[int], None]
) -> None:
    daemon.answers["vm.list"] = [a_vm()]
    unwritable(errno.ENOSPC)

    heard = mcv("list")

    assert heard.code == 3
    assert heard.err == (
        "Error: stdout cannot be written: No space left on device.\nNothing was changed.\n"
    )


def test_all_vms_are_worked_on_although_nothing_can_be_said_of_them(
    mcv: Speak, daemon: FakeDaemon, unwritable: Callable[[int], None]
) -> None:
    daemon.job("vm.start", {"name": "x", "node": "n1", "state": "running"})
    unwritable(errno.ENOSPC)

    heard = mcv("start web1 web2 web3")

    started = [params["name"] for params in daemon.asked("vm.start")]
    assert started == ["web1", "web2", "web3"]
    assert heard.code == 4
    assert "What was asked for is done." in heard.err
    told = json.loads(mcv("start web1 --json").err)
    assert told["error"] == "repair-needed"


def test_a_failure_keeps_its_own_code(
    mcv: Speak, daemon: FakeDaemon, unwritable: Callable[[int], None]
) -> None:
    unwritable(errno.EPIPE)
    assert mcv("start").code == 2
