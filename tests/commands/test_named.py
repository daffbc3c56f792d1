"""Each command that a text names is a command: messages, hints, help, README, files of etc."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from mcv.commands.root import COMMANDS, front

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    path
    for pattern in ("*.md", "docs/**/*.md", "etc/**/*")
    for path in sorted(ROOT.glob(pattern))
    if path.is_file()
]

# What stands for a value that a message fills in.
VALUE = "VALUE"

# Words that follow the name of the program in prose. `mcv` and another word is a command.
PROSE = re.compile(
    "(acts|alone|and|change|daemon|did|does|finds|goes|has|here|in|is|itself|leaves|made|makes|needs|of|on|runs"
    "|speaks|takes|talks|there|to|with|wrote)$"
)

MEND = """
These texts name commands that click does not know. Correct the text. Where a sentence goes on
behind a command, end the command with a comma, a colon or a backtick. Where mcv is the subject
of a sentence, add its verb to PROSE in tests/commands/test_named.py."""

MENTION = re.compile(r"(?<![\w/.@:-])mcv[ \n]+(?=[\w<{\[-])")
# Where a command ends within a text. A word that only follows it belongs to the command.
END = re.compile(r"""[,;:()`"'|&>#*\n]|\s2>|[.?!…](?=\s|$)|\s(?:and|or|then|again)\s""")


class Named(NamedTuple):
    """A command as it stands in a text."""

    place: str
    words: str


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Each text of a file with its line: of a module its strings, of others the whole file."""
    content = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield 1, content
        return
    tree = ast.parse(content)
    pieces = {id(part) for node in ast.walk(tree) for part in _pieces(node)}
    if "commands" not in path.parts:
        pieces |= {id(docstring) for node in ast.walk(tree) for docstring in _docstring(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in pieces:
            yield node.lineno, _text(node)
        elif isinstance(node, ast.Call):
            words = [_text(argument) for argument in node.args]
            if words[:1] == ["mcv"]:
                yield node.lineno, " ".join(words)


def _pieces(node: ast.AST) -> list[ast.expr]:
    return node.values if isinstance(node, ast.JoinedStr) else []


def _docstring(node: ast.AST) -> list[ast.expr]:
    """A docstring, which nobody is shown but that of a command: its help."""
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef
    first = node.body[0] if isinstance(node, kinds) and node.body else None
    return [first.value] if isinstance(first, ast.Expr) else []


def _text(node: ast.expr) -> str:
    """A string, with VALUE where something is filled in; "" of what is no string."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or VALUE for part in node.values)
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return VALUE


def commands_in(text: str) -> Iterator[tuple[int, str]]:
    """Each command that a text names, with the lines before it."""
    text = re.sub(r"`[^`\n]*\n[^`\n]*`", lambda code: code[0].replace("\n", " "), text)
    text = re.sub(r"\\\n\s*", "", text)
    for mention in MENTION.finditer(text):
        rest = text[mention.end() :]
        end = END.search(rest)
        words = rest[: end.start() if end else None].strip()
        if words:
            yield text.count("\n", 0, mention.start()), words


def all_named() -> list[Named]:
    named = []
    for path in [*sorted((ROOT / "mcv").rglob("*.py")), *DOCUMENTS]:
        for line, text in texts(path):
            for lines, words in commands_in(text):
                place = f"{path.relative_to(ROOT)}:{line + lines}"
                if not PROSE.match(words.split()[0]):
                    named.append(Named(place, words))
    return named


def problem(words: str) -> str:
    """Why click would not understand a command; "" where it would.

    Arguments and options may be missing: a text may name a command without them.
    """
    rest = re.sub(r"[\[\]]", "", words).split()
    if not rest[0].islower() and not rest[0].startswith("-"):
        return ""  # a value, as in `mcv COMMAND --help`
    command: click.Command = front
    ctx = click.Context(front, info_name="mcv")
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        word = rest.pop(0)
        inner = command.get_command(ctx, word)
        if inner is None:
            return f"{ctx.command_path} has no command {word!r}"
        command, ctx = inner, click.Context(inner, info_name=word, parent=ctx)
    try:
        _, left, _ = command.make_parser(ctx).parse_args(rest)
    except click.UsageError as error:
        return f"{ctx.command_path}: {error.format_message()}"
    if left and not isinstance(command, click.Group):
        return f"{ctx.command_path} takes no {' '.join(left)!r}"
    return ""


NAMED = all_named()


def test_every_command_that_a_text_names_parses() -> None:
    wrong = [f"{place}: `mcv {words}`: {why}" for place, words in NAMED if (why := problem(words))]

    if wrong:
        pytest.fail("\n".join([*wrong, MEND]), pytrace=False)


def test_the_walk_finds_messages_help_readme_and_shipped_files() -> None:
    found = {(place.partition(":")[0], words) for place, words in NAMED}

    assert {
        ("mcv/cluster/join.py", "cluster stage-join"),
        ("mcv/errors.py", "node offline VALUE --confirm-dead"),
        ("mcv/commands/power.py", "shutdown web1 web2 --wait --timeout 120"),
        ("README.md", "drbd enable"),
        ("etc/cron.d/mcv", "verify --all --owned --quiet"),
    } <= found
    assert len({words.split()[0] for _, words in found} & COMMANDS.keys()) > 20


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("cluster chek", "mcv cluster has no command 'chek'"),
        ("clone web1", "mcv has no command 'clone'"),
        ("resync web1 --from n2", "mcv resync: No such option"),
        ("resync web1 web2", "mcv resync takes no 'web2'"),
        ("migrate --node", "mcv migrate: Option '--node' requires an argument."),
        ("resync VALUE --source NODE", ""),
        ("delete", ""),
        ("permission", ""),
        ("start web1 web2", ""),
    ],
)
def test_what_click_does_not_know_is_a_problem(words: str, expected: str) -> None:
    found = problem(words)

    assert found.startswith(expected) and bool(found) == bool(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Undo it: mcv unlock web1", ["unlock web1"]),
        ("mcv resync web1, then: mcv verify web1 (or once)", ["resync web1", "verify web1"]),
        ("`mcv cluster\ncheck` tells it.", ["cluster check"]),
        ("mcv add --node n2 \\\n    --yes", ["add --node n2 --yes"]),
        ("/etc/mcv/mcv.conf, mcvd and /opt/mcv", []),
    ],
)
def test_a_command_ends_where_its_sentence_says(text: str, expected: list[str]) -> None:
    assert [words for _, words in commands_in(text)] == expected
