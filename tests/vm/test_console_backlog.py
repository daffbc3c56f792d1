"""The end of the console's log joined to what the pty gives: each byte once."""

import random
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from mcv.vm import console_backlog
from mcv.vm.console_backlog import GAP, SHOWN, joined, place


def reading(pieces: Iterable[bytes]) -> Callable[[], bytes]:
    left = iter(pieces)
    return lambda: next(left, b"")


def add(log: Path, text: bytes) -> None:
    with log.open("ab") as file:
        file.write(text)


def test_a_silent_guest_has_the_end_of_its_log_shown(tmp_path: Path) -> None:
    log = tmp_path / "web1.log"
    add(log, b"login: ")

    assert joined(log, place(log), reading([])) == b"login: "


def test_a_vm_without_a_log_has_what_the_pty_gives(tmp_path: Path) -> None:
    log = tmp_path / "web1.log"

    assert joined(log, place(log), reading([b"a", b"b"])) == b"a"


def test_what_is_in_the_log_and_came_by_the_pty_is_shown_once(tmp_path: Path) -> None:
    log = tmp_path / "web1.log"
    add(log, b"one\r\n")
    before = place(log)
    add(log, b"two\r\nthree\r\n")  # two before the pty was open, three since

    assert joined(log, before, reading([b"thr", b"ee\r\n"])) == b"one\r\ntwo\r\nthree\r\n"


def test_a_log_that_lags_behind_the_pty_is_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "web1.log"
    log.touch()
    before = place(log)
    said = iter([b"x\r\n", b"", b""])

    def read() -> bytes:
        piece = next(said, b"")
        if not piece and before.size == log_size(log):
            add(log, b"before\r\nx\r\n")
        return piece

    assert joined(log, before, read) == b"before\r\nx\r\n"


def log_size(log: Path) -> int:
    return log.stat().st_size


@pytest.mark.parametrize("seed", range(5))
def test_a_guest_that_never_stops_is_joined_where_the_pty_began(tmp_path: Path, seed: int) -> None:
    log = tmp_path / "web1.log"
    dice = random.Random(seed)
    log.touch()
    before = place(log)
    early = b"early %d\r\n" % seed
    add(log, early)
    lines: list[bytes] = []

    def read() -> bytes:
        lines.append(b"line %d %d\r\n" % (len(lines), dice.randrange(1 << 30)))
        add(log, lines[-1])
        return lines[-1]

    assert joined(log, before, read) == early + b"".join(lines)


def test_what_cannot_be_joined_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_backlog, "PATIENCE", 0.1)
    log = tmp_path / "web1.log"
    add(log, b"old\r\n")
    endless = iter(lambda: b"other", b"")

    shown = joined(log, place(log), reading(endless))

    assert shown.startswith(b"old\r\n" + GAP + b"otherother")


def test_a_log_that_is_begun_anew_meanwhile_loses_nothing(tmp_path: Path) -> None:
    log = tmp_path / "web1.log"
    add(log, b"old\r\n")
    before = place(log)
    log.rename(tmp_path / "web1.log.0")
    add(log, b"new\r\n")

    assert joined(log, before, reading([])) == b"old\r\nnew\r\n"


def test_a_long_log_is_shown_from_a_whole_line_on(tmp_path: Path) -> None:
    log = tmp_path / "web1.log"
    add(log, b"".join(b"line %06d\r\n" % number for number in range(10000)))

    shown = joined(log, place(log), reading([]))

    assert SHOWN - 20 < len(shown) <= SHOWN
    assert shown.startswith(b"line ") and shown.endswith(b"line 009999\r\n")


@pytest.mark.parametrize(
    "question",
    [b"\x1b[6n", b"\x1b[c", b"\x1b[>0c", b"\x1b[?1;2c", b"\x1bZ", b"\x05", b"\x1bP+q544e\x1b\\"],
)
def test_a_question_to_the_terminal_is_not_asked_again(tmp_path: Path, question: bytes) -> None:
    log = tmp_path / "web1.log"
    add(log, b"\x1b[1;31mred" + question + b" and\x1b[2J done")

    assert joined(log, place(log), reading([])) == b"\x1b[1;31mred and\x1b[2J done"
