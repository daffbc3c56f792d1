"""The one subprocess wrapper."""

import os
import time
from pathlib import Path

import pytest

from mcv.errors import CommandFailed
from mcv.system import process


def test_a_command_gives_what_it_printed() -> None:
    assert process.run("cat", stdin="zwölf\n") == "zwölf\n"


def test_a_command_may_print_more_than_a_pipe_holds_on_both_sides() -> None:
    much = "seq 200000; seq 200000 >&2; exit $0"

    assert process.run("sh", "-c", much, "0", timeout=20).endswith("\n200000\n")
    with pytest.raises(CommandFailed, match=r"exited with 7: .*200000"):
        process.run("sh", "-c", much, "7", timeout=20)


def test_bytes_that_are_no_text_are_shown_and_are_no_mistake_of_mcvd() -> None:
    """A tool quotes what it was given: a torn file of another service, say."""
    quotes = ("sh", "-c", r"printf '\377 is no word\n'; printf '\377 is no word\n' >&2; exit $0")

    assert process.run(*quotes, "0") == "\\xff is no word\n"
    with pytest.raises(CommandFailed, match=r"exited with 7: \\xff is no word"):
        process.run(*quotes, "7")
    with process.lines(*quotes, "0") as followed:
        assert followed.stdout is not None
        assert followed.stdout.readline() == "\\xff is no word\n"


def test_a_failure_quotes_the_command_and_its_last_words() -> None:
    with pytest.raises(CommandFailed) as error:
        process.run("sh", "-c", "echo one; echo two >&2; echo three >&2; exit 7")

    assert error.value.message == (
        "`sh -c 'echo one; echo two >&2; echo three >&2; exit 7'` exited with 7: two; three"
    )
    with pytest.raises(CommandFailed, match=r"exited with 1: out"):
        process.run("sh", "-c", "echo out; exit 1")


def test_a_command_that_is_missing_is_a_failure_in_words() -> None:
    with pytest.raises(CommandFailed, match="`no-such-tool --help` could not be started: No such"):
        process.run("no-such-tool", "--help")


def test_what_runs_past_its_time_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    began = time.monotonic()

    with pytest.raises(CommandFailed, match="ran past 0 s"):
        process.run("sh", "-c", f"(sleep 1; touch {mark}) & sleep 30", timeout=0.2)

    assert time.monotonic() - began < 5
    time.sleep(1.2)
    assert not mark.exists()


def test_a_command_has_a_plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "/nowhere.so")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")

    said = dict(line.split("=", 1) for line in process.run("env").splitlines())

    assert said["LC_ALL"] == "C" and "LD_PRELOAD" not in said and "LANG" not in said


def test_a_tool_that_is_missing_is_told_with_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "lvs").write_text("#!/bin/sh\n")
    (tmp_path / "lvs").chmod(0o755)
    monkeypatch.setitem(process.ENVIRONMENT, "PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(CommandFailed) as failed:
        process.run("drbdadm", "--version")

    assert failed.value.hint == "It comes with drbd-utils."
    assert process.missing()["drbdadm"] == "drbd-utils" and "lvs" not in process.missing()


def test_no_shell_reads_the_arguments() -> None:
    assert process.run("echo", "$(id)", "a; b") == "$(id) a; b\n"


def test_descriptors_are_handed_over_when_named_and_not_otherwise(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    os.write(fd, b"text")
    try:
        assert process.run("cat", f"/proc/self/fd/{fd}", pass_fds=(fd,)) == "text"
        with pytest.raises(CommandFailed):
            process.run("cat", f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def test_lines_are_read_while_the_command_runs_and_it_is_killed_at_the_end() -> None:
    with process.lines("sh", "-c", "echo one; echo two; sleep 60") as running:
        assert running.stdout is not None
        assert [running.stdout.readline() for _ in range(2)] == ["one\n", "two\n"]

    assert running.returncode is not None and running.returncode < 0
    with pytest.raises(CommandFailed, match="could not be started"), process.lines("no-such-tool"):
        pass
