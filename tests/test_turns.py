"""Who has which tests of a shared run, and who gives way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import turns

FILES = ["tests/model/test_a.py", "tests/lab/test_b.py", "tests/lab/test_c.py", "tests/test_d.py"]


@pytest.mark.parametrize(
    ("files", "process", "file"),
    [
        (FILES, "gw0", "tests/lab/test_b.py"),
        (FILES, turns.ASIDE, "tests/model/test_a.py"),
        (FILES[1:3], turns.ASIDE, None),
        (FILES[:1], "gw1", "tests/model/test_a.py"),
    ],
)
def test_the_lab_s_tests_go_first_and_never_aside(
    files: list[str], process: str, file: str | None
) -> None:
    assert turns.turn(files, process) == file


def test_who_steps_aside_is_weighed_less_than_the_sessions_of_nodes() -> None:
    grouped = Path("/proc/self/autogroup").exists()
    program = (
        "import os; from tests import turns; turns.step_aside(); print(os.nice(0), flush=True); "
        "os.system('cat /proc/self/autogroup 2> /dev/null')"
    )

    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()

    assert int(told[0]) == min(19, os.nice(0) + turns.GIVES_WAY)
    assert not grouped or told[-2:] == ["nice", str(turns.GIVES_WAY)]


def run(directory: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    """A shared run of these tests, each of which writes down the process that ran it."""
    for test in tests:
        path = directory / "tests" / test
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "import os\n\ndef test_it(request):\n"
            "    who = os.environ['PYTEST_XDIST_WORKER']\n"
            f"    open({str(directory / path.stem)!r}, 'w').write(who)\n"
        )
    shared = ["--tx", "2*popen", "--tx", f"popen//id={turns.ASIDE}", "--dist", "loadfile"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.turns", *shared]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST")
    }
    return subprocess.run(
        [*command, "--rootdir", directory, directory / "tests"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_shared_run_gives_the_lab_s_files_to_two_processes(tmp_path: Path) -> None:
    done = run(tmp_path, *(f"lab/test_l{n}.py" for n in range(6)), "vm/test_u0.py", "vm/test_u1.py")

    assert done.returncode == 0, done.stdout + done.stderr
    who = {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}
    assert len(who) == 8
    assert turns.ASIDE not in {who[f"test_l{n}"] for n in range(6)}
    assert who["test_u0"] == turns.ASIDE


def test_a_shared_run_of_the_lab_alone_leaves_nobody_waiting(tmp_path: Path) -> None:
    done = run(tmp_path, *(f"lab/test_l{n}.py" for n in range(3)))

    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout + done.stderr
