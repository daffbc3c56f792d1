"""What a command speaks with: the daemon on one side, whoever typed it on the other."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from mcv.commands import output
from mcv.errors import CallLost, McvError, NoAnswer, OutcomeOpen, Refused

if TYPE_CHECKING:
    from mcv.commands.progress import Display
    from mcv.rpc.client import Client, Progress


def has_terminal() -> bool:
    """Whether somebody is there to answer a question."""
    return sys.stdin.isatty()


class Session:
    """One command line: its flags, its daemon, and the jobs that it follows."""

    def __init__(self, client: "Client | None" = None) -> None:
        self.json = False
        self.yes = False
        self.dry_run = False
        self.verbose = False
        self.quiet = False
        self.debug = False
        self.has_changed = False  # whether something was asked for that changes something
        self.under_way: dict[str, str] = {}
        self._client = client

    @property
    def client(self) -> "Client":
        if self._client is None:
            from mcv.rpc.client import Client

            self._client = Client(tell=self.note)
        return self._client

    @cached_property
    def display(self) -> "Display":
        from mcv.commands.progress import Display

        return Display(quiet=self.json or self.quiet, steps=self.verbose)

    def call(self, operation: str, /, **params: Any) -> Any:
        """Ask the daemon a question. Raises NoAnswer where no answer comes: nothing changed."""
        with _as_question():
            return self.client.call(operation, **params)

    def take(self, fd: int, format: str | None) -> Any:
        """Hand an open image to the daemon; its answer waits until the image is read through."""
        return self.run("vm.take_image", fd=fd, format=format)

    def run(self, operation: str, /, **params: Any) -> Any:
        """Have the daemon do something, follow the job, and return its result.

        Client.run does the same; here the job is known from its first moment on, also
        where several are followed side by side, so that Ctrl-C can tell what goes on.
        """
        answer = self.client.call(operation, **params)
        self.has_changed |= params.get("dry_run") is not True
        if not (isinstance(answer, dict) and "job" in answer and "node" in answer):
            return answer
        return self.follow(str(answer["job"]), str(answer["node"]))

    def follow(self, job: str, node: str, through_stalls: bool = False) -> Any:
        """Watch a job to its end; return its result or raise the error that it ended in.

        A job that stands still is left with OutcomeOpen, unless it is to be waited for.
        """
        self.under_way[job] = node
        parts: dict[str, Progress] = {}

        def show(part: "Progress") -> None:
            parts[part.what] = part
            self.display.show(part)

        try:
            result = self.client.follow(job, node, show, through_stalls)
        except McvError:
            self.under_way.pop(job, None)
            raise
        self.under_way.pop(job, None)
        self.display.finish(parts.values())
        return result

    def show(self, value: Any, text: str | Callable[[], str]) -> None:
        """Print a result: the value under --json, else the text; a dry run shows its plan.

        A text is a sentence, on one line. A text of several lines, or one that takes work, such
        as a table, is a function: --json does not pay for it.
        """
        if self.json:
            self.say(output.as_json(value))
        elif is_plan(value):
            self.say(output.listed(value["plan"]) or "There is nothing to do.")
        else:
            self.say(output.listed([text]) if isinstance(text, str) else text())

    def say(self, text: str) -> None:
        self._write(text, err=False)

    def note(self, text: str) -> None:
        """Tell something beside the result."""
        self._write(text, err=True)

    def tell(self, lines: Iterable[str]) -> None:
        """Tell something beside the result in lines that others wrote."""
        for line in lines:
            self.note(output.listed([line]))

    def complain(self, error: McvError) -> None:
        text = output.as_line(output.error_json(error)) if self.json else output.error_text(error)
        self._write(text, err=True)

    def stopped(self, text: str) -> None:
        """Tell that the command ends before its work does."""
        said = {"error": "interrupted", "message": text, "hint": "", "problems": []}
        self.note(output.as_line(said) if self.json else text)

    def ask(self, question: str, shown: Callable[[], Iterable[str]] = tuple) -> None:
        """Raise Refused unless the answer is yes; without a terminal it is no.

        What `shown` returns is put before a human first: it says what would be lost. It raises
        what forbids the command in any case: nobody is asked about what is refused anyway.
        """
        if self.yes or self.dry_run:
            return
        lines = list(shown())
        if not has_terminal():
            raise Refused(
                f"{question} Without a terminal the answer is no; nothing was changed.",
                "Say yes with: --yes",
            )
        self.tell(lines)
        self.answer(question)

    def answer(self, question: str) -> None:
        """Put a question to whoever sits there; raise Refused unless the answer is yes."""
        self.close()
        try:
            agreed = click.confirm(output.listed([question]), err=True)
        except click.Abort:
            self.note("")
            agreed = False
        if not agreed:
            raise Refused("The answer was no; nothing was changed.")

    def plan(self, operation: str, /, **params: Any) -> list[str]:
        """The steps that an operation would take, to be shown before it is asked for."""
        with _as_question():
            answer = self.run(operation, **params, dry_run=True)
        steps = answer["plan"] if is_plan(answer) else []
        return [f"  {step}" for step in steps]

    def close(self) -> None:
        if "display" in self.__dict__:
            self.display.close()

    def _write(self, text: str, err: bool) -> None:
        if "display" in self.__dict__:
            self.display.write(text, err=err)
        else:
            output.say(text, err=err)


@contextlib.contextmanager
def _as_question() -> Iterator[None]:
    """A call that changes nothing: without an answer nothing was changed."""
    try:
        yield
    except (OutcomeOpen, CallLost) as error:
        why = error.message.partition(";")[0].rstrip(".")
        raise NoAnswer(f"{why}. Nothing was changed.", "Try again; see: mcv info") from error


def is_plan(answer: Any) -> bool:
    return isinstance(answer, dict) and answer.get("dry_run") is True and "plan" in answer
