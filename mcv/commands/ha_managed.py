"""What high availability manages: add, set, remove, list, explain."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from mcv.commands import output
from mcv.commands.completion import completing, vms, words
from mcv.commands.options import common, whole_number
from mcv.commands.session import Session

F = TypeVar("F", bound=Callable[..., Any])

managed = completing("ha.list", "name")
domains = completing("ha.domains", "name")


def entry_options(function: F) -> F:
    """The options about what is done when a VM or service fails."""
    for option in (
        click.option(
            "--state",
            metavar="started|stopped|ignored",
            shell_complete=words("started|stopped|ignored"),
            help="What is wanted of it; ignored: it is left alone. At first started.",
        ),
        click.option(
            "--priority",
            metavar="PRIORITY",
            help="The higher, the earlier it is recovered; at first 0.",
        ),
        click.option(
            "--window", metavar="S", help="Seconds in which failures count; at first 3600."
        ),
        click.option(
            "--max-relocates", metavar="N", help="Moves to another node in a window; at first 1."
        ),
        click.option(
            "--max-restarts", metavar="N", help="Restarts on its node in a window; at first 1."
        ),
        click.option(
            "--recovery",
            metavar="restart|relocate|disable",
            shell_complete=words("restart|relocate|disable"),
            help="Restart it, move it at once, or leave it alone when it fails; at first restart.",
        ),
        click.option(
            "--domain",
            metavar="D",
            shell_complete=domains,
            help="A failover domain; --domain= for none.",
        ),
    ):
        function = option(function)
    return function


def entry_values(
    domain: str | None,
    recovery: str | None,
    max_restarts: str | None,
    max_relocates: str | None,
    window: str | None,
    priority: str | None,
    state: str | None,
    failback: bool | None,
) -> dict[str, str | int | bool]:
    """The parameters that were named; the others stay as they are."""
    values = {
        "domain": domain,
        "recovery": recovery,
        "max_restarts": whole_number(max_restarts, "--max-restarts"),
        "max_relocates": whole_number(max_relocates, "--max-relocates"),
        "window": whole_number(window, "--window"),
        "priority": whole_number(priority, "--priority"),
        "state": state,
        "failback": failback,
    }
    return {key: value for key, value in values.items() if value is not None}


@click.command()
@click.argument("name", metavar="VM", shell_complete=vms)
@entry_options
@click.option("--no-failback", is_flag=True, help="It stays where it was moved to.")
@common()
@click.pass_obj
def add(session: Session, /, name: str, no_failback: bool, **options: str | None) -> None:
    """Let high availability manage a VM.

    On an armed cluster it is started again when it ends, and elsewhere when its host is dead.

    \b
    Examples:
      mcv ha add web1
      mcv ha add web1 --domain front --recovery relocate
    """
    values = entry_values(**options, failback=False if no_failback else None)
    answer = session.run("ha.add", name=name, **values)
    session.show(answer, lambda: _managed(answer, f"{name} is managed, and wanted"))


@click.command("set")
@click.argument("name", metavar="NAME", shell_complete=managed)
@entry_options
@click.option("--failback/--no-failback", default=None, help="Whether it moves back home.")
@common()
@click.pass_obj
def set_(session: Session, /, name: str, failback: bool | None, **options: str | None) -> None:
    """Change how a VM or a service is managed.

    What is not named stays. One that has failed is left alone until its --state is said.

    \b
    Example:
      mcv ha set web1 --state started
    """
    answer = session.run("ha.change", name=name, **entry_values(**options, failback=failback))
    session.show(answer, lambda: _managed(answer, f"{name} is wanted"))


def _managed(answer: dict[str, Any], said: str) -> str:
    where = f" in {answer['domain']}" if answer["domain"] else ""
    restarts, moves = answer["max_restarts"], answer["max_relocates"]
    how = f"{_times(restarts, 'restart')}, {_times(moves, 'relocation')}"
    line = (
        f"{said} {answer['wanted']}{where}: {answer['recovery']}, {how} in {answer['window']} s"
        f"{'' if answer['failback'] else ', no failback'}."
    )
    return output.listed([line, *answer["notes"]])


def _times(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


@click.command()
@click.argument("name", metavar="VM", shell_complete=managed)
@common()
@click.pass_obj
def remove(session: Session, name: str) -> None:
    """Let high availability manage a VM no longer.

    It runs on, or does not, as it does now.
    """
    answer = session.run("ha.remove", name=name)
    session.show(answer, f"{name} is not managed any more.")


@click.command("list")
@common(changes=False)
@click.pass_obj
def list_(session: Session) -> None:
    """List what is managed, where it runs, and why."""
    rows = session.call("ha.list")
    session.show(rows, lambda: _list(rows))


def _list(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "Nothing is managed. mcv ha add VM; mcv ha service create NAME"
    headings = ("name", "kind", "wanted", "state", "node", "home", "domain", "reason")
    cells = [{**row, "reason": _reason(row)} for row in rows]
    table = output.table([[row[key] or None for key in headings] for row in cells], headings)
    attention = [f"! {row['name']}: {row['attention']}" for row in rows if row["attention"]]
    return "\n".join([table, "", output.listed(attention)]) if attention else table


def _reason(row: dict[str, Any]) -> str:
    """Why, but for what stands below the table, where there is room."""
    is_below = row["attention"] and row["reason"] and row["reason"] in row["attention"]
    return "see below" if is_below else str(row["reason"])


@click.command()
@click.argument("name", metavar="NAME", shell_complete=managed)
@common(changes=False)
@click.pass_obj
def explain(session: Session, name: str) -> None:
    """Say why something is where it is.

    Each other node is named with what it lacks.
    """
    answer = session.call("ha.explain", name=name)
    session.show(answer, lambda: _explained(answer))


def _explained(answer: dict[str, Any]) -> str:
    rows = [
        (row["node"], "yes" if row["ok"] else "no", row["lacks"] or None)
        for row in answer["candidates"]
    ]
    said = output.listed([f"{answer['name']} belongs to {answer['node']}: {answer['reason']}"])
    return f"{said}\n\n{output.table(rows, ('node', 'can run it', 'lacks'))}"


COMMANDS: tuple[click.Command, ...] = (add, set_, remove, list_, explain)
