"""How mcv speaks: sentences, tables, JSON and errors, each in one way."""

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

import click

from mcv import printable
from mcv.errors import McvError

# Of several errors the worst one gives the exit code: what is half done before all else.
WORST_FIRST = (4, 1, 5, 3, 0)


GAP = 2  # blanks between two columns
LEAST = 16  # columns that a wrapped cell has at least


class PatientStream:
    """A stream that raises no OSError: a stdout that takes nothing ends no work.

    `error` is the first that there was.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except OSError as error:
            self.error = self.error or error
            return len(text)

    def write_raw(self, data: bytes) -> None:
        """Write bytes as they are, behind what was written before."""
        try:
            self.stream.flush()
            self.stream.buffer.write(data)
            self.stream.buffer.flush()
        except OSError as error:
            self.error = self.error or error

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            self.error = self.error or error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def say(text: str, err: bool = False) -> None:
    """Print a text of one or more lines; nothing in it acts on a terminal."""
    click.echo(printable.lines(text), err=err)


def say_raw(data: bytes, err: bool = False) -> None:
    """Write what a guest wrote, as it is: it may act on a terminal."""
    stream = sys.stderr if err else sys.stdout
    if isinstance(stream, PatientStream):
        stream.write_raw(data)


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2)


def as_line(value: Any) -> str:
    """JSON in one line, so that an error stands out from what else went to stderr."""
    return json.dumps(value)


def table(rows: Iterable[Sequence[Any]], headings: Sequence[str]) -> str:
    """Rows under lower-case headings; what is None is left empty."""
    import tabulate

    cells = [["" if cell is None else printable.line(str(cell)) for cell in row] for row in rows]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    shown = cells if width is None else fitted(cells, headings, width)
    text = tabulate.tabulate(shown, headings, tablefmt="plain", disable_numparse=True)
    if width is None or max(map(len, text.splitlines())) <= width:
        return text
    return "\n\n".join(_below_each_other(headings, row) for row in cells)


def _below_each_other(headings: Sequence[str], row: Sequence[str]) -> str:
    """A row of a table that is too wide for the terminal, a line for each cell that is filled."""
    return fields({heading: cell or None for heading, cell in zip(headings, row, strict=True)})


def fitted(rows: list[list[str]], headings: Sequence[str], width: int) -> list[list[str]]:
    """The cells, those of the widest columns wrapped so that the table fits, if that can be."""
    padded = [heading + " " * GAP for heading in headings]  # as tabulate has them
    columns = list(zip(padded, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    words = [max(map(len, " ".join(column).split()), default=0) for column in columns]
    room = width - GAP * (len(widths) - 1)
    while sum(widths) > room:
        to_spare = [width - max(LEAST, word) for width, word in zip(widths, words, strict=True)]
        if max(to_spare) <= 0:
            break
        widths[to_spare.index(max(to_spare))] -= 1
    return [[_wrapped(cell, widths[n]) for n, cell in enumerate(row)] for row in rows]


def _wrapped(text: str, width: int) -> str:
    """A cell in lines that are no wider; a word, a name or a command's option, stays whole."""
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)


def fields(pairs: Mapping[str, Any]) -> str:
    """Keys and values, one a line, the values below each other; what is None is left out."""
    known = {key: value for key, value in pairs.items() if value is not None}
    width = max((len(key) for key in known), default=0) + 3
    return listed(f"{key + ':':<{width}}{value}".rstrip() for key, value in known.items())


def size(value: float | None) -> str:
    from mcv import sizes

    return "" if value is None else sizes.shown(value)


def age(when: str) -> str:
    """How long ago a time in UTC was, in its largest unit."""
    from datetime import UTC, datetime

    passed = (datetime.now(UTC) - datetime.fromisoformat(when)).total_seconds()
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if passed >= 2 * length:
            return f"{int(passed // length)} {unit}"
    return f"{max(0, int(passed))} seconds"


def percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}%"


def side(role: Any, disk: Any, connection: Any) -> str:
    """One node's view of a resource, in DRBD's words."""
    return f"{role}/{disk}/{connection}"


def error_text(error: McvError) -> str:
    """An error for human eyes: the message, its problems with their hints, then the hint."""
    lines = [f"Error: {error.message}"]
    lines += [f"  {' '.join(filter(None, problem))}" for problem in error.problems]
    lines += [error.hint] if error.hint else []
    return listed(lines)


def listed(lines: Iterable[str]) -> str:
    """Lines below each other, each a line whatever is in it."""
    return "\n".join(map(printable.line, lines))


def error_line(error: McvError) -> str:
    """The same in one line, for a list with a line for each VM."""
    problems = [" ".join(filter(None, problem)) for problem in error.problems]
    return printable.line(" ".join(filter(None, [error.message, *problems, error.hint])))


def error_json(error: McvError) -> dict[str, Any]:
    return {
        "error": error.kind,
        "message": error.message,
        "hint": error.hint,
        "problems": [{"message": said, "hint": hint} for said, hint in error.problems],
    }


def worst(codes: Iterable[int]) -> int:
    """The exit code of several results together."""
    return min(
        codes,
        key=lambda code: WORST_FIRST.index(code) if code in WORST_FIRST else 1,
        default=0,
    )
