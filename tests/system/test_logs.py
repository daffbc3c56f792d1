"""A record of the log is a line; what it quotes forges no other."""

import logging
import sys

from mcv.system.logs import LineFormatter

FORMAT = LineFormatter("%(levelname)s %(name)s: %(message)s")


def record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("mcvd", logging.WARNING, __file__, 1, message, args, info)


def test_a_message_is_a_line_whatever_it_quotes() -> None:
    said = FORMAT.format(record("%s failed: %s", "web1", "no\nERROR mcvd: forged \x1b[2J"))

    assert said == "WARNING mcvd: web1 failed: no\\nERROR mcvd: forged \\x1b[2J"


def test_a_traceback_stands_indented_below_its_line() -> None:
    try:
        raise ValueError("no\nERROR mcvd: forged \x1b[2J")
    except ValueError as error:
        head, *rest = FORMAT.format(record("loop %s", "a\nb", error=error)).split("\n")

    assert head == "WARNING mcvd: loop a\\nb"
    assert rest[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") and line.isprintable() for line in rest)


def test_the_record_itself_is_left_to_other_handlers() -> None:
    kept = record("a\n%s", "b")

    FORMAT.format(kept)

    assert kept.getMessage() == "a\nb" and sys.exc_info() == (None, None, None)
