"""Work of a thread that later callers join instead of beginning their own."""

import threading
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mcv.errors import McvError

Result = TypeVar("Result")


@dataclass
class SharedWork(Generic[Result]):
    """Work under way: `over` is set when `result` or `error` says how it ended."""

    over: threading.Event = field(default_factory=threading.Event)
    result: Result | None = None
    error: McvError | None = None
