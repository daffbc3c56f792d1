"""No test is silently left out: each is where pytest looks for it, under a name of its own."""

import ast
import collections
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent


def left_out(path: Path, text: str) -> Iterator[str]:
    """What of a file's tests pytest would not run."""
    tree = ast.parse(text)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    at_the_top = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    for name, number in collections.Counter(at_the_top).items():
        if number > 1:
            yield f"{path.name}: {name} is there {number} times"
    for function in functions:
        if function.name.startswith("test_"):
            if function.name not in at_the_top:
                yield f"{path.name}: {function.name} is inside of something"
            if not path.name.startswith("test_"):
                yield f"{path.name}: {function.name} is in no test_*.py"


def test_every_test_is_run() -> None:
    paths = sorted(TESTS.rglob("*.py"))

    assert [said for path in paths for said in left_out(path, path.read_text("utf-8"))] == []


def test_a_test_that_is_left_out_is_found() -> None:
    twice = "def test_a(): ...\ndef test_a(): ...\n"
    inside = "class Base:\n    def test_b(self): ...\n"

    assert list(left_out(Path("test_x.py"), twice)) == ["test_x.py: test_a is there 2 times"]
    assert list(left_out(Path("test_x.py"), inside)) == ["test_x.py: test_b is inside of something"]
    assert list(left_out(Path("x.py"), "def test_c(): ...")) == ["x.py: test_c is in no test_*.py"]
