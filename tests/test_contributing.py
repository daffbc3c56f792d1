"""The example in CONTRIBUTING.md stays true: what it adds lines beside is there."""

import re
from pathlib import Path

import pytest

from mcv.commands.root import COMMANDS

ROOT = Path(__file__).parents[1]
DIFFS = re.findall(
    r"^\+\+\+ b/(\S+)\n@@\n(.*?)(?=^--- a/|^```)",
    (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
    flags=re.M | re.S,
)


@pytest.mark.parametrize(("path", "lines"), DIFFS, ids=[path for path, _ in DIFFS])
def test_the_context_of_the_example_is_in_the_tree(path: str, lines: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8").splitlines()

    missing = [line for line in lines.splitlines() if line[:1] == " " and line[1:] not in text]

    assert missing == [], f"{path} has changed: mend the example in CONTRIBUTING.md"


def test_the_verb_of_the_example_is_none_of_the_program() -> None:
    added = [re.findall(r'^\+ +"([a-z]+)": \(', lines, flags=re.M) for _, lines in DIFFS]
    [verb] = [word for words in added for word in words]

    assert verb not in COMMANDS, f"mcv {verb} exists: choose another example in CONTRIBUTING.md"


def test_the_example_has_its_four_places() -> None:
    assert [path for path, _ in DIFFS] == [
        "mcv/vm/power.py",
        "mcv/api/table.py",
        "mcv/commands/root.py",
        "mcv/commands/power.py",
        "tests/commands/test_calls.py",
        "tests/vm/test_life.py",
    ]
