"""Jobs while they are followed: bars, lines, steps, and Ctrl-C."""

import io
from typing import Any

import pytest

from mcv.commands.progress import Display
from mcv.errors import Cancelled, Failed, Refused
from mcv.rpc.client import Progress
from tests.commands.conftest import FakeDaemon, Speak

GIB = 1024**3
STEP = Progress("n2: drbd.promote resource=web1", 0, 0, "")
WAIT = Progress("waiting for web1 to shut down", 0, 0, "")


class Screen(io.StringIO):
    """A terminal that remembers all that was written to it."""

    def isatty(self) -> bool:
        return True


def verify(done: float, vm: str = "web1") -> Progress:
    return Progress(f"verify {vm}", done * GIB, 8 * GIB, "B")


def clock(*times: float) -> Any:
    left = list(times)
    return lambda: left.pop(0)


def test_without_a_terminal_there_is_a_line_a_second_at_most(
    capsys: pytest.CaptureFixture[str],
) -> None:
    display = Display(stream=io.StringIO(), clock=clock(0, 0.5, 1.2, 9))

    for done in (1, 2, 3, 3):
        display.show(verify(done))

    assert capsys.readouterr().err.splitlines() == [
        "verify web1: 12% (1GiB of 8GiB)",
        "verify web1: 37% (3GiB of 8GiB)",
    ]


@pytest.mark.parametrize("stream", [io.StringIO, Screen])
def test_the_last_that_is_shown_of_a_job_that_ended_well_is_the_whole(
    capsys: pytest.CaptureFixture[str], stream: Any
) -> None:
    display = Display(stream=stream(), clock=lambda: 0.0)
    display.show(verify(1))
    display.show(verify(7))

    display.finish([verify(7), STEP, verify(8, "web2")])

    lines = [line.rpartition("\x1b[J")[2] for line in capsys.readouterr().err.splitlines()]
    assert lines[-1].startswith("verify web1") and "100%" in lines[-1]
    assert "8GiB of 8GiB" in lines[-1]


def test_a_job_that_ends_before_its_last_report_is_shown_to_its_end(
    mcv: Speak, daemon: FakeDaemon
) -> None:
    daemon.job("vm.start", {"node": "n1", "state": "running"})
    daemon.progress = [verify(1), verify(6)]

    assert "100% (8GiB of 8GiB)" in mcv("start web1").err
    daemon.job("vm.start", Failed("no"))
    assert "100%" not in mcv("start web1").err


def test_on_a_terminal_each_job_has_a_bar() -> None:
    screen = Screen()
    display = Display(stream=screen, clock=clock(0, 1))

    display.show(verify(4))
    display.show(verify(2, "web2"))

    last = screen.getvalue().rpartition("\x1b[1F\x1b[J")[2].splitlines()
    assert [line.split()[:2] for line in last] == [["verify", "web1"], ["verify", "web2"]]
    assert "[##########----------]  50%  4GiB of 8GiB" in last[0]


def test_what_is_said_meanwhile_stands_above_the_bars(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    display = Display(stream=screen, clock=clock(0))
    display.show(verify(4))

    display.write("web2 is clean.")
    display.close()

    assert capsys.readouterr().out == "web2 is clean.\n"
    assert screen.getvalue().count("\x1b[1F\x1b[J") == 2


def test_a_finished_bar_stays_once(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display(stream=Screen(), clock=clock(0))

    for done in (4, 8, 8):
        display.show(verify(done))

    assert capsys.readouterr().err.count("100%") == 1


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ([], [WAIT.what]),
        (["-v"], [STEP.what, WAIT.what]),
        (["--json"], []),
        (["--json", "-v"], [STEP.what, WAIT.what]),
    ],
)
def test_steps_are_told_with_v_and_waits_always(
    mcv: Speak, daemon: FakeDaemon, options: list[str], lines: list[str]
) -> None:
    daemon.progress = [STEP, STEP, WAIT]
    daemon.job("vm.update", {"said": "1GiB"})

    heard = mcv("update web1 --memory 1GiB", *options)

    assert heard.code == 0
    assert heard.err.splitlines() == lines


def test_no_bar_disturbs_json(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.progress = [verify(1)]
    daemon.job("vm.update", {"name": "web1"})

    heard = mcv("update web1 --cpus 2 --json")

    assert (heard.json, heard.err) == ({"name": "web1"}, "")


def interrupted(daemon: FakeDaemon, waits: bool, end: Any) -> None:
    daemon.interrupts = True
    daemon.job("vm.migrate", end)
    daemon.answers["job.show"] = {"cancellable": True, "waits": waits}


def test_a_job_goes_on_after_ctrl_c_and_can_be_found_again(mcv: Speak, daemon: FakeDaemon) -> None:
    interrupted(daemon, False, {})

    heard = mcv("migrate --node n2 web1")

    assert (heard.code, heard.out) == (130, "")
    assert (
        "The job goes on; find it with: mcv job wait job1, cancel it with: mcv job cancel job1"
        in heard.err
    )
    assert daemon.asked("job.cancel") == []


def test_a_job_that_only_waits_is_cancelled_by_ctrl_c(mcv: Speak, daemon: FakeDaemon) -> None:
    interrupted(daemon, True, Cancelled("migrate web1 was cancelled."))

    heard = mcv("migrate --node n2 web1")

    assert heard.code == 130
    assert heard.err.strip() == "migrate web1 was cancelled. Nothing was changed."
    assert daemon.asked("job.cancel") == [{"job": "job1"}]


def test_a_job_that_got_to_work_before_the_cancel_goes_on(mcv: Speak, daemon: FakeDaemon) -> None:
    interrupted(daemon, True, {})
    daemon.answers["job.cancel"] = Refused("It is at work.")

    assert "The job goes on" in mcv("migrate --node n2 web1").err


@pytest.mark.parametrize(
    ("end", "said"),
    [(Failed("It failed."), "It failed."), ({}, "The job was done before it could be cancelled.")],
)
def test_a_job_that_ended_before_the_cancel_says_how(
    mcv: Speak, daemon: FakeDaemon, end: Any, said: str
) -> None:
    interrupted(daemon, True, end)

    heard = mcv("migrate --node n2 web1")

    assert (heard.code, heard.err.strip()) == (130, said)


def test_ctrl_c_among_several_vms_begins_nothing_more(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.interrupts = True
    daemon.job("vm.start", {"node": "n1"})
    daemon.answers["job.show"] = {"cancellable": False, "waits": False}

    heard = mcv("start web1 web2 --json")

    assert (heard.code, heard.out) == (130, "")
    assert heard.error["error"] == "interrupted"
    assert len(daemon.asked("vm.start")) == 1


def test_waiting_for_a_job_ends_as_the_job_does(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["job.show"] = {"id": "job7", "title": "migrate web1", "node": "n2"}
    daemon._jobs["job7"] = lambda: {"name": "web1"}

    assert mcv("job wait job7").out == "Job job7 (migrate web1) is done.\n"
    assert mcv("job wait job7 --json").json == {"name": "web1"}

    def fail() -> None:
        raise Failed("It was undone.")

    daemon._jobs["job7"] = fail
    assert mcv("job wait job7").code == 1
