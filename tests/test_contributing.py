"""The example in CONTRIBUTING.md stays true: what it adds lines beside is there."""

import re
from pathlib import Path

import pytest

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


def test_the_example_has_its_four_places() -> None:
    assert [path for path, _ in DIFFS] == [
        "mcv/vm/power.py",
        "mcv/api/table.py",
        "mcv/commands/root.py",
        "mcv/commands/power.py",
        "tests/commands/test_calls.py",
        "tests/vm/test_life.py",
    ]
