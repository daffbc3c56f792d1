"""Running what is written over env.py in a node, where each verb is carried out at once."""

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result: in a node nothing in it waits for anybody else."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    coroutine.close()
    raise RuntimeError("A verb of a node's environment waits.")
