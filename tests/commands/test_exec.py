"""A command in a guest: its output as it wrote it, and the exit code that a script relies on."""

import base64
from typing import Any

import pytest

from mcv.commands import guest
from mcv.errors import DaemonDown, Refused
from tests.commands.conftest import FakeDaemon, Speak

BEGUN = {"name": "web1", "node": "n1", "process": 77}


def ended(out: bytes = b"", err: bytes = b"", **more: Any) -> dict[str, Any]:
    written = {"stdout": base64.b64encode(out).decode(), "stderr": base64.b64encode(err).decode()}
    return {"name": "web1", "node": "n1", "ended": True, "exit_code": 0, **written, **more}


@pytest.fixture(autouse=True)
def begun(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "FIRST", 0.0)
    daemon.job("vm.exec", BEGUN)


def test_the_output_is_written_as_it_is(mcv: Speak, daemon: FakeDaemon) -> None:
    states = iter([{"ended": False}, {"ended": False}, ended(b"\x1b[31mred\n", b"warned\n")])
    daemon.answers["vm.exec_state"] = lambda params: next(states)

    heard = mcv("exec web1 -- ls --color /")

    assert (heard.code, heard.out, heard.err) == (0, "\x1b[31mred\n", "warned\n")
    assert daemon.asked("vm.exec") == [{"name": "web1", "command": ["ls", "--color", "/"]}]
    assert daemon.asked("vm.exec_state") == [{"name": "web1", "process": 77}] * 3


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"exit_code": 3}, "Error: false exited in web1 with 3.\n"),
        ({"exit_code": None, "signal": 9}, "Error: false was ended in web1 by signal 9.\n"),
    ],
)
def test_another_end_than_0_is_5_and_is_named(
    mcv: Speak, daemon: FakeDaemon, more: dict[str, Any], said: str
) -> None:
    daemon.answers["vm.exec_state"] = ended(b"so far\n", **more)

    heard = mcv("exec web1 false")

    assert (heard.code, heard.out, heard.err) == (5, "so far\n", said)


def test_json_is_one_document_with_the_output_as_text(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["vm.exec_state"] = ended(b"\xff\n", exit_code=1, cut=True)

    heard = mcv("exec web1 --json -- false")

    assert heard.code == 5
    assert (heard.json["stdout"], heard.json["exit_code"]) == ("\ufffd\n", 1)
    assert "cut the rest" in heard.err


def test_an_agent_that_is_not_there_is_a_refusal(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("vm.exec", Refused("The agent in web1 does not answer."))

    assert mcv("exec web1 ls").code == 3


def test_what_has_not_ended_in_time_runs_on(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["vm.exec_state"] = {"ended": False}

    heard = mcv("exec web1 --timeout 0 -- sleep 60")

    assert heard.code == 4 and "runs on in web1 as process 77" in heard.err
    assert "mcv exec web1 -- kill 77" in heard.err


def test_a_daemon_that_goes_away_leaves_it_open(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["vm.exec_state"] = DaemonDown("mcvd does not answer.")

    heard = mcv("exec web1 ls")

    assert heard.code == 4 and "What became of process 77 in web1 is not known" in heard.err


def test_ctrl_c_says_that_it_runs_on(mcv: Speak, daemon: FakeDaemon) -> None:
    def interrupt(params: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    daemon.answers["vm.exec_state"] = interrupt

    heard = mcv("exec web1 ls")

    assert heard.code == 4 and "is waited for no longer" in heard.err


def test_nonsense_as_output_is_told(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["vm.exec_state"] = {**ended(), "stdout": "%%"}

    assert mcv("exec web1 ls").code == 4
