"""The table: every name that the code calls by is in it, and every row can be served."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import pytest

from mcv.api.operation import NODES, VM
from mcv.api.table import TABLE
from mcv.document import changes
from mcv.document.subject import Subject
from mcv.rules.rights import Right
from tests.fakes.cluster import FakeCluster

ROOT = Path(__file__).parents[2] / "mcv"

# Where an operation's name stands among the arguments, by the function that is called.
PLACES: dict[str, dict[str, tuple[int, ...]]] = {
    "operation": {
        **dict.fromkeys(("on", "_ask", "_call", "_each"), (1,)),
        "call": (0, 1),
        "ask_all": (2,),
    },
    "step": {"on": (1,)},
    "change": dict.fromkeys(("change", "change_", "update", "_change"), (0,)),
}


def names(wanted: str) -> Iterator[tuple[str, str]]:
    """(name, file) of every literal operation, or change, that some module calls by."""
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else ""
            name = function.id if isinstance(function, ast.Name) else name
            for place in PLACES[wanted].get(name, ()):
                literal = node.args[place] if len(node.args) > place else None
                if isinstance(literal, ast.Constant) and isinstance(literal.value, str):
                    yield literal.value, f"{path.relative_to(ROOT)}:{node.lineno}"


def test_every_operation_that_is_called_is_in_the_table() -> None:
    called = list(names("operation"))

    assert len(called) > 40
    assert [(name, where) for name, where in called if "." in name and name not in TABLE] == []


def test_every_change_that_is_made_is_known() -> None:
    made = [(name, where) for name, where in names("change") if name.count(".") == 1]

    assert len(made) > 20
    assert [(name, where) for name, where in made if name not in changes.CHANGES] == []


@pytest.mark.parametrize("operation", TABLE)
def test_a_row_takes_the_host_and_says_who_may_ask(operation: str) -> None:
    row = TABLE[operation]
    parameters = list(inspect.signature(row.function).parameters)

    assert parameters[0] == "host"
    assert row.who and row.who <= {"operator", "peer"} and row.timeout > 0
    if row.step:
        assert row.who == {"peer"} and not row.any_epoch
    if row.job:
        assert "operator" in row.who
    if row.sender:
        assert "sender" in parameters
    if row.pid:
        assert "pid" in parameters


def test_every_step_of_a_plan_is_served_as_one() -> None:
    in_plans = {name for name, _ in names("step")}

    assert len(in_plans) > 10
    assert {name for name in in_plans if not TABLE[name].step} == {"vm.has_arrived"}  # a question


@pytest.mark.parametrize("operation", TABLE)
def test_a_row_names_parameters_that_its_function_has(operation: str) -> None:
    row = TABLE[operation]
    parameters = inspect.signature(row.function).parameters

    if row.subject:
        assert row.subject.parameter in parameters
    if row.beside:
        assert row.beside not in parameters


@pytest.mark.parametrize("operation", TABLE)
def test_the_node_that_carries_a_call_out_is_found_without_changing_the_call(
    cluster: FakeCluster, operation: str
) -> None:
    row = TABLE[operation]
    params = {"name": "web1", "node": "n2"}

    where = row.to(cluster.hosts["n1"], MappingProxyType(params))

    assert where in ("n1", "n2")
    if row.beside:
        assert where == "n2" and row.arguments(params) == {"name": "web1"}


def test_what_an_operator_does_to_a_vm_names_the_vm() -> None:
    rights = (Right.POWER, Right.CONSOLE, Right.CHANGE)
    rows = {name: row for name, row in TABLE.items() if row.right in rights}
    without = {name for name, row in rows.items() if row.subject is not VM}

    assert without == {"vm.take_image", "vm.take_seed", "job.cancel"}
    assert TABLE["vm.start"].subjects({"name": "web1"}) == [Subject.vm("web1")]
    assert NODES.subjects({"names": ["n1", "n2"]}) == [Subject.node("n1"), Subject.node("n2")]
    assert TABLE["cluster.check"].subjects({"name": "web1"}) == []
    assert VM.subjects({"name": {"a": 1}}) == []
