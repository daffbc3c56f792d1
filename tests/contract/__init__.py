"""What operations may rely on in a door, said once: kept by the fake and by the real one.

A promise is a function of a stand: a door, and what a test must do behind mcv's back.
"""

import time
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

Promise = Callable[[Any], None]


def promises(*modules: ModuleType) -> list[Promise]:
    """The public functions of modules of this package, in the order of their text."""
    return [
        one
        for module in modules
        for name, one in vars(module).items()
        if isinstance(one, FunctionType)
        and one.__module__ == module.__name__
        and not name.startswith("_")
    ]


def eventually(is_so: Callable[[], object], timeout: float = 20) -> None:
    """Wait until something is so; fails when it is not in time."""
    until = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < until, f"not so within {timeout:g} s"
        time.sleep(0.1)
