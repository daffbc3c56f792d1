"""What commands have in common: options, names, numbers."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from mcv.commands.completion import vms, words
from mcv.commands.session import Session
from mcv.errors import Refused

F = TypeVar("F", bound=Callable[..., Any])


def common(dry_run: bool = False, changes: bool = True) -> Callable[[F], F]:
    """Give a command the options that every command has.

    --yes goes with whatever changes something; --dry-run with what has a plan.
    """
    wanted = [
        flag("--debug", help="Show the traceback of an error."),
        flag("-v", "--verbose", help="Show each step as it is done."),
        flag("--json", help="Print one JSON document and nothing else."),
    ]
    if changes:
        wanted.append(flag("--yes", help="Answer every question with yes."))
    if dry_run:
        wanted.append(flag("--dry-run", help="Show the plan that would be carried out."))

    def decorate(function: F) -> F:
        for option in wanted:
            function = option(function)
        return function

    return decorate


def flag(*names: str, help: str) -> Callable[[F], F]:
    """A switch that the session remembers, so that a command need not pass it on."""
    return click.option(*names, is_flag=True, expose_value=False, callback=_remember, help=help)


def _remember(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and param.name and isinstance(ctx.obj, Session):
        setattr(ctx.obj, param.name, True)


discard_saved_option = click.option(
    "--discard-saved",
    is_flag=True,
    help="Give up the memory of a guest that is saved; it does not go on where it was.",
)


def only_given(**flags: bool) -> dict[str, bool]:
    """The flags that were given: a daemon of before they existed is not asked about the rest."""
    return {name: True for name, is_given in flags.items() if is_given}


vm_argument = click.argument("name", metavar="VM", shell_complete=vms)
vms_argument = click.argument("names", metavar="VM...", nargs=-1, required=True, shell_complete=vms)


def start_options(function: F) -> F:
    """The options about how a VM starts with its node."""
    for option in (
        click.option("--start-delay", metavar="S", help="Seconds after it before the next VM."),
        click.option("--start-order", metavar="N", help="Lower numbers start first; default: 0."),
        click.option(
            "--autostart",
            metavar="yes|no|last",
            shell_complete=words("yes|no|last"),
            help="Start it with its node; last, the default: if it ran when the node went down.",
        ),
    ):
        function = option(function)
    return function


def start_settings(
    autostart: str | None, order: str | None, delay: str | None
) -> dict[str, str | int | None]:
    """The parameters about how a VM starts with its node; what was not named is left out."""
    values = {
        "autostart": autostart,
        "start_order": whole_number(order, "--start-order"),
        "start_delay": whole_number(delay, "--start-delay"),
    }
    return {key: value for key, value in values.items() if value is not None}


def whole_number(text: str | None, option: str) -> int | None:
    """The number that was typed; what is none is refused like every other bad value."""
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise Refused(f"{option} {text!r} is no whole number.") from None


def seconds(text: str | None, option: str = "--timeout") -> float | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e9:
        raise Refused(f"{option} {text!r} is no number of seconds.")
    return number


def listed(text: str | None) -> list[str] | None:
    """A,B as a list; None where nothing was said."""
    if text is None:
        return None
    return [part.strip() for part in text.split(",") if part.strip()]
