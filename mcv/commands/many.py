"""Commands on several VMs: all are tried, a line each, and the worst exit code counts."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click

from mcv.commands import output
from mcv.commands.session import Session
from mcv.errors import McvError

T = TypeVar("T")


@dataclass(frozen=True)
class Said:
    """What one VM's part of a command ended in: a sentence, and more keys for --json."""

    text: str
    more: dict[str, Any] = field(default_factory=dict)


def for_each(
    session: Session, names: Iterable[str], work: Callable[[str], Said], at_once: int = 1
) -> None:
    """Do the work for each VM, telling each result as it comes; exit with the worst code."""
    wanted = list(dict.fromkeys(names))
    alone = len(wanted) == 1

    def attempt(name: str) -> tuple[dict[str, Any], int]:
        try:
            said = work(name)
        except McvError as error:
            if not session.json:
                line = f"Error: {name}: {output.error_line(error)}"
                session.note(output.error_text(error) if alone else line)
            row = {"vm": name, "ok": False, "message": output.error_line(error)}
            details = output.error_json(error)
            del details["message"]
            return {**row, **details}, error.exit_code
        if not session.json:
            session.say(output.listed([said.text]))
        return {"vm": name, "ok": True, "message": said.text, **said.more}, 0

    done = side_by_side(attempt, wanted, at_once)
    if session.json:
        session.say(output.as_json([row for row, _ in done]))
    code = output.worst(code for _, code in done)
    if code:
        raise click.exceptions.Exit(code)


def side_by_side(work: Callable[[str], T], items: list[str], at_once: int) -> list[T]:
    """Do the work for all items, some at once; the results are in the items' order.

    The first thing that goes wrong unexpectedly is raised, and nothing more is begun
    then; neither after Ctrl-C, which only the main thread hears.
    """
    if at_once == 1 or len(items) < 2:
        return [work(item) for item in items]
    results: dict[str, T] = {}
    wrong: list[BaseException] = []
    left = deque(items)

    def worker() -> None:
        with contextlib.suppress(IndexError):
            while True:
                item = left.popleft()
                try:
                    results[item] = work(item)
                except BaseException as error:
                    wrong.append(error)
                    left.clear()

    threads = [threading.Thread(target=worker, daemon=True) for _ in items[:at_once]]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        left.clear()
        raise
    if wrong:
        raise wrong[0]
    return [results[item] for item in items]
