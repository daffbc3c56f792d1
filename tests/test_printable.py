"""Text from outside: nothing in it acts on a terminal or makes a line of its own."""

import pytest

from mcv import printable

HARMLESS = "migrate web1 to node2: 10 % – größer, 日本, a\u00a0b"

ACTING = [
    ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
    ("\x9b31m", "\\x9b31m"),
    ("a\rb\x08c\x00", "a\\rb\\x08c\\x00"),
    ("\u202egnp.exe", "\\u202egnp.exe"),
    ("a\u2028b\u2029c\x85", "a\\u2028b\\u2029c\\x85"),
    ("half \ud83d", "half \\ud83d"),
]


def test_what_is_printable_stays_as_it_is() -> None:
    assert printable.line(HARMLESS) == HARMLESS
    assert printable.lines(f"{HARMLESS}\n\t{HARMLESS}\n") == f"{HARMLESS}\n\t{HARMLESS}\n"


@pytest.mark.parametrize(("text", "shown"), ACTING)
def test_what_acts_on_a_terminal_is_shown_by_its_code(text: str, shown: str) -> None:
    assert printable.line(text) == printable.lines(text) == shown
    printable.line(text).encode("utf-8")


def test_a_line_is_one_line() -> None:
    assert printable.line("a\nmcvd: ERROR forged\tb") == "a\\nmcvd: ERROR forged\\tb"


@pytest.mark.parametrize(
    ("words", "said"),
    [((), ""), (("n1",), "n1"), (("n1", "n2"), "n1 and n2"), (("n1", "n2", "n3"), "n1, n2 and n3")],
)
def test_names_in_a_sentence(words: tuple[str, ...], said: str) -> None:
    assert printable.names(words) == said
