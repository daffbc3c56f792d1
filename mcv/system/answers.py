"""Answers of other nodes, decoded and checked on arrival.

Another version, or a node that lies, may answer in any shape. Such an answer costs what that
node had to tell, and never the command that asked.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import msgspec

import mcv
from mcv.errors import McvError, NotUnderstood
from mcv.system.fanout import ask_all, ask_living

T = TypeVar("T")


def decoded(node: str, operation: str, answer: object, shape: type[T]) -> T:
    """The answer as a value of that shape. Raises NotUnderstood, which names the node."""
    try:
        return msgspec.convert(msgspec.to_builtins(answer), shape)
    except (msgspec.ValidationError, TypeError, RecursionError) as error:
        raise NotUnderstood(
            f"mcv {mcv.__version__} does not understand what {node} answered to {operation}: "
            f"{error}.",
            "Do all nodes run the same mcv? See: mcv info",
        ) from error


def _each(answers: dict[str, Any], operation: str, shape: type[T]) -> dict[str, T | McvError]:
    typed: dict[str, T | McvError] = {}
    for node, answer in answers.items():
        try:
            typed[node] = _or_raise(node, operation, answer, shape)
        except McvError as error:
            typed[node] = error
    return typed


def _or_raise(node: str, operation: str, answer: object, shape: type[T]) -> T:
    if isinstance(answer, McvError):
        raise answer
    return decoded(node, operation, answer, shape)


def ask_typed(
    ask: Callable[..., Any],
    nodes: Iterable[str],
    operation: str,
    timeout: float,
    shape: type[T],
    /,
    **params: Any,
) -> dict[str, T | McvError]:
    """As ask_all: what each node answers as a value of that shape, or the error instead."""
    return _each(ask_all(ask, nodes, operation, timeout, **params), operation, shape)


def ask_living_typed(
    ask: Callable[..., Any],
    nodes: Iterable[str],
    operation: str,
    patience: float,
    shape: type[T],
    /,
    **params: Any,
) -> dict[str, T | McvError]:
    """As ask_living, typed."""
    return _each(ask_living(ask, nodes, operation, patience, **params), operation, shape)


def plain(value: object) -> Any:
    """A typed answer as the wire carries it."""
    return cast(Any, msgspec.to_builtins(value))
