"""Threads under a tracer: no thread may die at birth, which would look like a silent node.

Each new thread installs the tracer of coverage by sys.settrace, which CPython 3.11 guards by
a flag of the whole process: a second thread that arrives between its begin and its end gets a
RuntimeError and never runs. Other threads get their turn in between only where an audit hook
written in Python is called there, and filelock adds one (a guard against forks). So filelock
is imported without its hook wherever tests are traced.
"""

import os
import sys
from collections.abc import Callable

TRACED = "MCV_TRACED"  # tells the processes of xdist, which load this before their tracer


def without_audit_hooks(load: Callable[[], object]) -> None:
    """Load a module whose audit hooks are left out."""
    add = sys.addaudithook
    sys.addaudithook = lambda hook: None
    try:
        load()
    finally:
        sys.addaudithook = add


if sys.gettrace() is not None:
    os.environ[TRACED] = "1"
if TRACED in os.environ:
    assert "filelock" not in sys.modules, "filelock was imported before the tests' own plugins"
    without_audit_hooks(lambda: __import__("filelock"))
