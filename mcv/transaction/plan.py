"""Steps with their way back: what an operation will do, as a value that can be written down."""

from collections.abc import Iterable
from typing import Any

import msgspec


class Call(msgspec.Struct, frozen=True, tag="call"):
    """Something that one node does: RPC sends it, the journal stores it, a human reads it."""

    node: str
    operation: str
    params: dict[str, Any] = msgspec.field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.node}: {self.operation}{_words(self.params)}"


class Change(msgspec.Struct, frozen=True, tag="change"):
    """A change of the document, which belongs to no node; whoever carries out offers it."""

    name: str
    params: dict[str, Any] = msgspec.field(default_factory=dict)

    def __str__(self) -> str:
        return f"document: {self.name}{_words(self.params)}"


Action = Call | Change


class Step(msgspec.Struct, frozen=True, tag="step"):
    """One action and its way back.

    One step settles the plan: a failure before it means back, after it forward. A step
    that may fail comes after it; its failure is told and the plan goes on. `seen` asks
    whether a settling call was carried out: while nobody answers that, it is waited for.
    """

    do: Action
    undo: Action | None = None
    settles: bool = False
    may_fail: bool = False
    seen: Call | None = None


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


def settling(plan: list[Item]) -> int:
    """The index of the item that settles the plan; its length where none does."""
    for index, item in enumerate(plan):
        if any(step.settles for step in steps_of(item)):
            return index
    return len(plan)


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
        scalars = all(isinstance(one, str | int | float | bool) for one in several)
        text = ",".join(map(str, several)) if scalars else "…"
        shown.append(f" {key}={text if len(text) <= 60 else text[:59] + '…'}")
    return "".join(shown)
