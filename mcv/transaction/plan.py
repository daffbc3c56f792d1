"""Steps with their way back: what an operation will do, as a value that can be written down."""

from collections.abc import Iterable
from typing import Any

import msgspec


class Call(msgspec.Struct, frozen=True, tag="call"):
    """An operation that a node carries out: RPC sends it, the journal stores it."""

    node: str
    operation: str
    params: dict[str, Any] = msgspec.field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.node}: {self.operation}{_words(self.params)}"


class Change(msgspec.Struct, frozen=True, tag="change"):
    """A change of the document, which belongs to no node; the coordinating node proposes it."""

    name: str
    params: dict[str, Any] = msgspec.field(default_factory=dict)

    def __str__(self) -> str:
        return f"document: {self.name}{_words(self.params)}"


Action = Call | Change

# Changes whose entry comes with its claim.
NEW_ENTRY = frozenset({"vm.add", "node.add", "pool.add", "image.add"})


class Step(msgspec.Struct, frozen=True, tag="step"):
    """An action and its way back.

    A plan has a single step that commits it: a failure before that step means back, after
    it forward. A step that may fail comes after the commit point; its failure is reported
    and the plan goes on. `seen` is a question to a node: was the committing call carried
    out? Without an answer the plan waits at its commit point. What a committing step
    began may be `only_there`, on the witness's node, and lost by the way back: then the plan
    waits for that node also while it is offline in the document.
    """

    do: Action
    undo: Action | None = None
    commits: bool = False
    may_fail: bool = False
    seen: Call | None = None
    only_there: bool = False


class Together(msgspec.Struct, frozen=True, tag="together"):
    """Steps that are carried out side by side, and taken back side by side."""

    steps: tuple[Step, ...]


Item = Step | Together


def on(node: str, operation: str, /, **params: Any) -> Call:
    return Call(node, operation, params)


def change(name: str, /, **params: Any) -> Change:
    return Change(name, params)


def together(steps: Iterable[Step]) -> Together:
    return Together(tuple(steps))


def steps_of(item: Item) -> tuple[Step, ...]:
    return item.steps if isinstance(item, Together) else (item,)


def commit_point(plan: list[Item]) -> int:
    """The index of the item that commits the plan; the plan's length where none does."""
    for index, item in enumerate(plan):
        if any(step.commits for step in steps_of(item)):
            return index
    return len(plan)


def brings_claim(plan: list[Item]) -> bool:
    """Whether the first step makes the document's entry of the subject, its claim with it."""
    first = plan[0] if plan else None
    return isinstance(first, Step) and isinstance(first.do, Change) and first.do.name in NEW_ENTRY


def nodes_of(plan: list[Item]) -> set[str]:
    """Every node that a plan or its way back touches."""
    actions = [
        action for item in plan for step in steps_of(item) for action in (step.do, step.undo)
    ]
    return {action.node for action in actions if isinstance(action, Call)}


def readable(plan: list[Item]) -> list[str]:
    """A plan as `--dry-run` and `-v` show it, a line for each step."""
    return [str(step.do) for item in plan for step in steps_of(item)]


def _words(params: dict[str, Any]) -> str:
    shown = []
    for key, value in params.items():
        several = value if isinstance(value, list | tuple) else [value]
        scalars = all(isinstance(item, str | int | float | bool) for item in several)
        text = ",".join(map(str, several)) if scalars else "…"
        shown.append(f" {key}={text if len(text) <= 60 else text[:59] + '…'}")
    return "".join(shown)
