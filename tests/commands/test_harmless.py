"""Titles, names and reasons of others on the terminal: shown, never obeyed, never a line."""

import pytest

from mcv.commands import output
from mcv.commands.progress import Display
from mcv.errors import Refused
from mcv.rpc.client import Progress
from mcv.rpc.values import error_from_plain
from tests.commands.conftest import FakeDaemon, Speak, a_vm

EVIL = "web1\x1b[2J\nAll is well.\u202e"
SHOWN = "web1\\x1b[2J\\nAll is well.\\u202e"


def is_harmless(text: str) -> bool:
    return "\x1b" not in text and "\u202e" not in text and "\nAll is well." not in text


JOB = {
    "id": "job1",
    "title": EVIL,
    "state": "failed",
    "who": EVIL,
    "node": "n1",
    "began": "2026-01-01T00:00:00Z",
    "ended": "",
    "progress": [{"what": EVIL, "done": 1, "total": 2, "unit": "B"}],
    "error": {"class": "Refused", "message": EVIL, "hint": EVIL, "problems": [[EVIL, EVIL]]},
    "cancellable": False,
}
FINDING = {"severity": "error", "message": EVIL, "hint": EVIL, "node": "n1", "subject": "web1"}
CLAIM = {"operation": "job1", "node": "n2", "why": EVIL, "since": "2026-01-01T00:00:00Z"}

VM = {
    **a_vm(findings=[FINDING], locked=True, claim=CLAIM),
    "uuid": "1234",
    "disks": [],
    "networks": [],
    "verify": {},
    "vnc": None,
}


@pytest.mark.parametrize(
    ("words", "operation", "answer"),
    [
        ("job show job1", "job.show", JOB),
        ("job list", "job.list", [JOB]),
        ("list", "vm.list", [a_vm(attention=EVIL)]),
        ("info web1", "vm.info", VM),
        ("cluster check", "cluster.check", {"ok": False, "findings": [{**FINDING, "fix": None}]}),
        ("config diff 1 2", "config.diff", {"lines": [EVIL]}),
        ("network list", "network.list", Refused(EVIL, EVIL, [(EVIL, EVIL)])),
    ],
)
def test_what_others_wrote_acts_on_no_terminal(
    mcv: Speak, daemon: FakeDaemon, words: str, operation: str, answer: object
) -> None:
    daemon.answers[operation] = answer

    heard = mcv(words)

    said = heard.out + heard.err
    assert SHOWN in said
    assert is_harmless(said)


def test_a_sentence_is_one_line(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("vm.migrate", {"node": EVIL})

    heard = mcv("migrate web1 --node n2")

    assert heard.out == f"web1 belongs to {SHOWN} now.\n"


def test_a_question_and_what_is_shown_before_it_act_on_none(
    mcv: Speak, daemon: FakeDaemon, terminal: None
) -> None:
    daemon.answers["drbd.prospects"] = {"lines": [EVIL], "lose": EVIL}

    heard = mcv("drbd resolve web1 --keep n1", typed="n\n")

    assert heard.err.count(SHOWN) == 2
    assert is_harmless(heard.out + heard.err)


def test_progress_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display(steps=True)

    display.show(Progress(EVIL, 0, 0, ""))
    display.show(Progress(EVIL, 1, 2, EVIL, EVIL))

    said = capsys.readouterr().err
    assert SHOWN in said and is_harmless(said)


def test_an_error_that_arrives_has_words_of_one_line() -> None:
    error = error_from_plain(
        {"class": "Refused", "message": EVIL, "hint": EVIL, "problems": [[EVIL, EVIL]]}
    )

    assert isinstance(error, Refused)
    assert (error.message, error.hint, error.problems) == (SHOWN, SHOWN, [(SHOWN, SHOWN)])


def test_a_text_of_several_lines_keeps_its_own_and_nothing_in_it_acts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.say("first\n\tsecond \x1b[2J")

    assert capsys.readouterr().out == "first\n\tsecond \\x1b[2J\n"
