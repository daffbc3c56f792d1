"""The clock of the lab's demos: each thing that is seen is told once, with its time."""

import io
import time
from collections.abc import Iterator

import pytest

from tests.lab import LabError
from tests.lab.clock import Clock, Event, watch


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def after(looks: int, words: str) -> Iterator[str]:
    """What an eye sees that sees nothing in its first looks."""
    yield from [""] * looks
    while True:
        yield words


def test_what_is_seen_is_told_once_in_its_order() -> None:
    out = io.StringIO()
    late, soon = after(2, "web1 runs on node2"), after(0, "node1 is silent")
    eyes = {"started": lambda: next(late), "silent": lambda: next(soon)}

    events = watch(eyes, Clock(out), time.monotonic() - 7, limit=60)

    assert [event.words for event in events] == ["node1 is silent", "web1 runs on node2"]
    assert 7 <= events[0].seconds <= events[1].seconds
    lines = out.getvalue().splitlines()
    assert [line.split(" s  ")[1] for line in lines] == [event.words for event in events]


def test_an_eye_that_cannot_look_looks_again() -> None:
    answers = iter([LabError("node1 does not answer."), AssertionError(), None])

    def look() -> str:
        if (error := next(answers)) is not None:
            raise error
        return "seen"

    assert [each.words for each in watch({"it": look}, Clock(io.StringIO()), time.monotonic(), 60)]


def test_what_was_not_seen_in_time_is_named() -> None:
    eyes = {"fenced": lambda: "", "silent": lambda: "silent", "answers": lambda: ""}

    with pytest.raises(LabError, match=r"Within 60 s was not seen: answers, fenced\."):
        watch(eyes, Clock(io.StringIO()), time.monotonic() - 59, limit=60)


def test_a_terminal_counts_in_one_line_and_keeps_what_was_seen() -> None:
    terminal, file = Terminal(), io.StringIO()

    for out in (terminal, file):
        clock = Clock(out)
        clock.tick(0.25)
        clock.tell(Event(12.34, "node1 is silent"))
        clock.tick(12.4)

    assert terminal.getvalue() == "\r     0.2 s\r    12.3 s  node1 is silent\n\r    12.4 s"
    assert file.getvalue() == "    12.3 s  node1 is silent\n"
