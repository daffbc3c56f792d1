"""What holds the tree in shape: bounds on classes, files and functions of mcv, which only fall."""

import ast
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parent.parent / "mcv"

# No bound ever rises.
BOUNDS = {
    "methods of a class": 25,
    "lines of a file": 320,
    "median lines of a function": 8,
    "functions that answer dict[str, Any]": 20,
}
MEND = {
    "methods of a class": "Split the class by concern.",
    "lines of a file": "Move a part that stands by itself to a module of its own.",
    "median lines of a function": "Shorten what was added, or split it.",
    "functions that answer dict[str, Any]": "Answer with a msgspec Struct that says what it is.",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Measured:
    """A class, file or function and its size."""

    size: int
    where: str


def trees() -> dict[str, ast.Module]:
    paths = sorted(ROOT.rglob("*.py"))
    return {str(path.relative_to(ROOT.parent)): ast.parse(path.read_text()) for path in paths}


TREES = trees()


def all_of(*kinds: type[ast.AST]) -> list[tuple[str, ast.AST]]:
    return [
        (path, node)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if type(node) in kinds
    ]


def classes() -> list[Measured]:
    return [
        Measured(
            sum(isinstance(member, Function) for member in node.body),
            f"{path}:{node.lineno} {node.name}",
        )
        for path, node in all_of(ast.ClassDef)
        if isinstance(node, ast.ClassDef)
    ]


def files() -> list[Measured]:
    return [Measured(len((ROOT.parent / path).read_text().splitlines()), path) for path in TREES]


def functions() -> list[Measured]:
    return [
        Measured(node.end_lineno - node.lineno + 1, f"{path}:{node.lineno} {node.name}")
        for path, node in all_of(ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, Function) and node.end_lineno is not None
    ]


def untyped() -> list[Measured]:
    """Functions that answer dict[str, Any], or None in its place."""
    return [
        Measured(1, f"{path}:{node.lineno} {node.name}")
        for path, node in all_of(ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, Function)
        and node.returns is not None
        and ast.unparse(node.returns).removesuffix(" | None") == "dict[str, Any]"
    ]


def measures() -> dict[str, tuple[int, list[Measured]]]:
    """Each measure, with what is largest in it, or all that is counted."""

    def largest(sizes: list[Measured]) -> tuple[int, list[Measured]]:
        ordered = sorted(sizes, key=lambda measured: -measured.size)
        return ordered[0].size, ordered[:5]

    lengths = functions()
    return {
        "methods of a class": largest(classes()),
        "lines of a file": largest(files()),
        "median lines of a function": (
            round(median(length.size for length in lengths)),
            largest(lengths)[1],
        ),
        "functions that answer dict[str, Any]": (len(untyped()), untyped()),
    }


MEASURES = measures()


@pytest.mark.parametrize("what", BOUNDS)
def test_no_measure_is_over_its_bound(what: str) -> None:
    size, largest = MEASURES[what]

    if size > BOUNDS[what]:
        rows = "\n".join(f"  {measured.where} ({measured.size})" for measured in largest)
        pytest.fail(f"{what}: {size}, at most {BOUNDS[what]}. {MEND[what]}\n{rows}", pytrace=False)
