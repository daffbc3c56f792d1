"""Text for people: names in a sentence, and text from outside made harmless.

No escape reaches a terminal, no newline forges a line.
Titles, reasons and names of users come from sudo, from other nodes and from tools. What is not
printable is shown by its code, so that nothing is lost and nothing acts.
"""

import unicodedata
from collections.abc import Iterable


def line(text: str) -> str:
    """The text as one line: whatever is not printable, newlines too, by its code."""
    return text if text.isprintable() else "".join(map(_shown, text))


def lines(text: str) -> str:
    """The text with its own newlines and tabs; whatever else is not printable by its code."""
    return "\n".join("\t".join(map(line, each.split("\t"))) for each in text.split("\n"))


def _shown(char: str) -> str:
    """A character, or its code: control and format characters, separators, halves of pairs."""
    is_harmless = char.isprintable() or unicodedata.category(char) == "Zs"
    return char if is_harmless else char.encode("unicode_escape").decode("ascii")


def names(words: Iterable[str]) -> str:
    """Names in a sentence: "n1, n2 and n3"; "" for none."""
    *others, last = ["", *words]
    return f"{', '.join(others[1:])} and {last}" if len(others) > 1 else last
