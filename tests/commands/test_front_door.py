"""The front door: who gets an answer, what it costs, how it ends."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import pytest

from mcv import cli
from mcv.commands.root import COMMANDS, front
from mcv.errors import (
    Busy,
    CallLost,
    DaemonDown,
    Failed,
    McvError,
    NotFound,
    OutcomeOpen,
    OutOfSync,
    Refused,
    RepairNeeded,
)
from tests.commands.conftest import FakeDaemon, Speak

SCRIPT = "import sys; from mcv.cli import main; sys.argv = ['mcv', *sys.argv[1:]]; main()"
AS_NOBODY = f"import os; os.geteuid = lambda: 65534; {SCRIPT}"
HEAVY = "click Pyro5 libvirt paramiko tabulate msgspec"


def spoken(
    *words: str, code: str = SCRIPT, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def imported_by(*words: str, code: str = SCRIPT) -> set[str]:
    """The heavy packages that a command line imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    return modules & set(HEAVY.split())


def test_the_version_is_told_before_anything_heavy_is_imported() -> None:
    done = spoken("--version")

    assert (done.returncode, done.stdout) == (0, "mcv 0.1.0\n")
    assert imported_by("--version") == set()


def test_the_version_takes_at_most_twice_as_long_as_a_bare_python() -> None:
    commands = {"bare": ["pass"], "version": [SCRIPT, "--version"]}
    times: dict[str, list[float]] = {name: [] for name in commands}

    # By turns, so that both have the same share of a busy machine's quiet moments.
    for _ in range(20):
        for name, words in commands.items():
            began = time.process_time_ns(), os.times()
            subprocess.run([sys.executable, "-c", *words], check=True, capture_output=True)
            ended = os.times()
            spent = ended.children_user - began[1].children_user
            times[name].append(spent + ended.children_system - began[1].children_system)

    assert sum(sorted(times["version"])[:10]) <= 2 * sum(sorted(times["bare"])[:10])


def test_help_loads_no_wire() -> None:
    assert imported_by("list", "--help") == {"click"}


def test_who_is_not_root_gets_one_line_and_nothing_is_imported_for_it() -> None:
    done = spoken("list", code=AS_NOBODY)

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "Error: Only root may use mcv. Try: sudo mcv\n"
    assert imported_by("list", code=AS_NOBODY) == set()


def test_who_is_not_root_is_refused_in_json_where_json_is_asked_for() -> None:
    done = spoken("list", "--json", code=AS_NOBODY)

    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert '"error": "not-permitted"' in done.stderr


@pytest.mark.parametrize("words", ["--help", "--version", "cluster add-node --help"])
def test_help_and_version_answer_everybody(words: str) -> None:
    done = spoken(*words.split(), code=AS_NOBODY)

    assert done.returncode == 0
    assert done.stdout


def test_the_list_of_commands_cuts_no_sentence_off() -> None:
    groups = [
        command
        for command in (front.get_command(click.Context(front), word) for word in COMMANDS)
        if isinstance(command, click.Group)
    ]
    listed = [group.get_help(click.Context(group)) for group in (front, *groups)]

    lines = [line for text in listed for line in text.partition("--help ")[2].splitlines()]
    cut = [line for line in lines if line.endswith("...")]

    assert len(groups) > 5 and cut == []


def test_help_behind_two_dashes_is_a_name_and_answers_root_alone() -> None:
    assert spoken("start", "--", "--help", code=AS_NOBODY).returncode == 3


def test_completion_answers_everybody() -> None:
    asking = {"_MCV_COMPLETE": "bash_complete", "COMP_WORDS": "mcv cl", "COMP_CWORD": "1"}

    done = spoken(code=AS_NOBODY, env=asking)

    assert (done.returncode, done.stdout) == (0, "plain,cluster\n")


def test_the_completion_of_bash_asks_as_click_expects() -> None:
    script = Path(__file__).parents[2] / "etc/completion/mcv.bash"

    text = script.read_text(encoding="utf-8")

    assert "_MCV_COMPLETE=bash_complete" in text
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


def test_root_passes_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(sys, "argv", ["mcv", "start"])

    with pytest.raises(SystemExit) as left:
        cli.main()

    assert left.value.code == 2


@pytest.mark.parametrize(
    "words",
    [
        "bogus",
        "list --bogus",
        "create",
        "create web1",
        "network create lan",
        "start",
        "verify",
        "verify --all web1",
        "verify --owned web1",
        "migrate",
        "migrate --node n2 --timeout 3 web1",
        "shutdown --timeout 3 web1",
        "reboot --timeout 3 web1",
        "drbd set resync-rate",
        "cluster add-node --node n2",
    ],
)
def test_words_that_are_not_understood_are_usage(
    mcv: Speak, daemon: FakeDaemon, words: str
) -> None:
    heard = mcv(words)

    assert heard.code == 2
    assert heard.out == ""
    assert daemon.calls == []


def test_usage_is_an_error_object_too_where_json_is_asked_for(mcv: Speak) -> None:
    heard = mcv("list --bogus --json")

    assert (heard.code, heard.out) == (2, "")
    assert heard.error["error"] == "usage"
    assert heard.error["hint"] == "mcv list --help"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("No."), 3),
        (NotFound("No."), 3),
        (Busy("No."), 3),
        (DaemonDown("No."), 3),
        (Failed("No."), 1),
        (McvError("No."), 1),
        (RepairNeeded("No."), 4),
        (OutOfSync("No."), 5),
    ],
)
def test_an_error_leaves_with_the_code_of_its_family(
    mcv: Speak, daemon: FakeDaemon, error: McvError, code: int
) -> None:
    daemon.answers["vm.info"] = error

    heard = mcv("info web1")

    assert (heard.code, heard.out, heard.err) == (code, "", "Error: No.\n")


def test_an_error_tells_all_its_problems_and_then_what_helps(
    mcv: Speak, daemon: FakeDaemon
) -> None:
    problems = [("web1 runs.", "First: mcv stop web1"), ("n3 is offline.", "")]
    daemon.job("vm.update", Refused("2 things stand in the way.", "Try again.", problems))

    heard = mcv("update web1 --cpus 2")

    assert heard.code == 3
    assert heard.err.splitlines() == [
        "Error: 2 things stand in the way.",
        "  web1 runs. First: mcv stop web1",
        "  n3 is offline.",
        "Try again.",
    ]


def test_an_error_under_json_is_one_object_on_stderr(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("vm.update", Busy("web1 is busy.", "Wait.", [("migrate", "mcv job list")]))

    heard = mcv("update web1 --cpus 2 --json")

    assert (heard.code, heard.out) == (3, "")
    assert heard.error == {
        "error": "busy",
        "message": "web1 is busy.",
        "hint": "Wait.",
        "problems": [{"message": "migrate", "hint": "mcv job list"}],
    }


@pytest.mark.parametrize("words", ["--json info web1", "info web1 --json", "info --json web1"])
def test_common_options_stand_before_or_after_the_word(
    mcv: Speak, daemon: FakeDaemon, words: str
) -> None:
    daemon.answers["vm.info"] = {"name": "web1"}

    assert mcv(words).json == {"name": "web1"}


def test_debug_shows_the_traceback(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["vm.list"] = Refused("No.")

    assert "Traceback" not in mcv("list").err
    assert "Traceback" in mcv("list --debug").err
    assert "Traceback" in mcv("--debug list").err


@pytest.mark.parametrize("error", [OutcomeOpen, CallLost])
def test_a_question_without_an_answer_has_changed_nothing(
    mcv: Speak, daemon: FakeDaemon, error: type[McvError]
) -> None:
    open_ = error("mcvd gave no answer to vm.list (timed out); whether it was done is not known.")
    daemon.answers["vm.list"] = open_
    daemon.answers["vm.start"] = open_

    heard = mcv("list")

    assert (heard.code, mcv("start web1").code) == (3, open_.exit_code)
    assert "mcvd gave no answer to vm.list (timed out). Nothing was changed." in heard.err


def test_a_mistake_of_mcv_is_told_in_one_line(mcv: Speak, daemon: FakeDaemon) -> None:
    def stumble(params: dict[str, Any]) -> None:
        raise ZeroDivisionError("oops")

    daemon.answers["vm.list"] = stumble

    heard = mcv("list")

    assert heard.code == 4
    assert heard.err.startswith("Error: mcv itself failed: ZeroDivisionError: oops")
    assert "Traceback" not in heard.err
