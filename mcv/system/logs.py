"""The daemon's log: a record is a line, and what it tells of others cannot forge another."""

import logging

from mcv import printable


class LineFormatter(logging.Formatter):
    """Formats a record as one line, and a traceback as indented lines below it."""

    def format(self, record: logging.LogRecord) -> str:
        head, *rest = super().format(_of_one_line(record)).split("\n")
        return "\n".join([printable.line(head), *(f"    {printable.line(each)}" for each in rest)])


def _of_one_line(record: logging.LogRecord) -> logging.LogRecord:
    """The record with its message as one line; other handlers keep the record as it is."""
    copy = logging.makeLogRecord(record.__dict__)
    copy.msg, copy.args = printable.line(record.getMessage()), None
    return copy


def begin(level: int = logging.INFO) -> None:
    """Have this program's log go to stderr, a record a line; systemd adds the time."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
