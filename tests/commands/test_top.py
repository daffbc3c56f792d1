"""`mcv top`: one table, JSON, or a table that is drawn anew until somebody presses q."""

import io
import os
import pty
import re
import sys
import termios
from typing import Any, cast

import click
import pytest

from mcv.commands import top
from mcv.commands.session import Session
from mcv.errors import DaemonDown
from mcv.rpc.client import Client
from tests.commands.conftest import FakeDaemon, Speak, told

GIB = 1 << 30


def vm(name: str, cpu: float, **different: Any) -> dict[str, Any]:
    row = {"vm": name, "node": "n1", "cpu": cpu, "memory": GIB, "read": 0, "written": 1536}
    return {**row, **different}


FOUND = {
    "nodes": [
        {"node": "n1", "cpu": 12.5, "memory": GIB, "memory_total": 4 * GIB, "problem": None},
        {"node": "n2", "cpu": None, "memory": None, "memory_total": None, "problem": "silent"},
    ],
    "vms": [vm("web1", 3.0), vm("web2", 150.0)],
}


def test_one_table_has_the_busiest_first_and_json_bytes(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["top.show"] = FOUND

    heard, scripted = mcv("top"), mcv("top --once --json")

    rows = [line.split() for line in heard.out.splitlines()]
    assert rows[1] == ["n1", "12%", "1GiB", "4GiB"] and rows[2] == ["n2", "silent"]
    assert rows[5:] == [
        ["web2", "n1", "150%", "1GiB", "0B", "1.5KiB"],
        ["web1", "n1", "3%", "1GiB", "0B", "1.5KiB"],
    ]
    assert scripted.json == FOUND
    assert len(daemon.asked("top.show")) == 2


def test_without_a_vm_that_runs_it_says_so(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["top.show"] = {**FOUND, "vms": []}

    assert mcv("top").out.rstrip().endswith("No VM runs.")


class Terminal(io.StringIO):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Have a terminal from here on: pytest takes standard output when a test begins."""
    shown = Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    return shown


def watch(daemon: FakeDaemon) -> None:
    command = cast(Any, top.top).callback
    context = click.Context(top.top, obj=Session(cast(Client, daemon)))
    with context:
        context.invoke(command, once=False)


def test_on_a_terminal_it_is_drawn_until_q_is_pressed(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.answers["top.show"] = {**FOUND, "vms": [vm("web1\x1b[2J", 1.0)]}
    stdout = terminal(monkeypatch)
    answers = [daemon.answers["top.show"], DaemonDown("mcvd does not run."), FOUND]
    daemon.answers["top.show"] = lambda params: told(answers.pop(0), params)
    pressed = iter(["", "x", "q"])
    monkeypatch.setattr(top, "key", lambda wait: next(pressed))

    watch(daemon)

    text = stdout.getvalue()
    assert len(daemon.asked("top.show")) == text.count(top.HOME) == 3
    assert text.startswith(top.SHOW_OTHER) and text.endswith(top.HIDE_OTHER)
    assert text.count("Error: mcvd does not run.") == 1
    assert "\x1b[2J" not in text and "web1\\x1b[2J" in text


def test_ctrl_c_and_an_error_give_the_terminal_back(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(wait: float) -> str:
        raise KeyboardInterrupt

    daemon.answers["top.show"] = FOUND
    monkeypatch.setattr(top, "key", interrupt)
    stdout = terminal(monkeypatch)
    watch(daemon)
    assert stdout.getvalue().endswith(top.HIDE_OTHER)

    daemon.answers["top.show"] = RuntimeError
    with pytest.raises(TypeError):
        watch(daemon)
    assert stdout.getvalue().endswith(top.HIDE_OTHER)


def test_no_more_is_drawn_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_, **__: os.terminal_size((20, 5)))

    stdout = terminal(monkeypatch)
    top.draw(["\n".join(["x" * 30] * 50)])

    lines = re.sub(r"\x1b\[[HJK]", "", stdout.getvalue()).splitlines()
    assert lines == ["x" * 20] * 4


def test_a_key_is_read_as_it_is_pressed_and_the_terminal_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        before = termios.tcgetattr(theirs)
        with top._unbuffered_keys():
            assert not termios.tcgetattr(theirs)[3] & termios.ICANON
            assert top.key(0.01) == ""
            os.write(ours, b"q")
            assert top.key(5) == "q"
        assert termios.tcgetattr(theirs) == before
    os.close(ours)
