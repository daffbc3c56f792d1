"""The cluster's document and its past."""

import click

from mcv.commands import output
from mcv.commands.options import common, whole_number
from mcv.commands.session import Session


@click.group()
def config() -> None:
    """Show the document that all nodes agree on, and its past."""


@config.command()
@click.option("--generation", metavar="G", help="As it was then; default: as it is.")
@common(changes=False)
@click.pass_obj
def show(session: Session, generation: str | None) -> None:
    """Print the document."""
    number = whole_number(generation, "--generation")
    document = session.call("config.show", generation=number)
    session.show(document, lambda: output.as_json(document))


@config.command()
@common(changes=False)
@click.pass_obj
def history(session: Session) -> None:
    """List the changes of the document: who, when and why."""
    past = session.call("config.history")
    rows = [
        (
            generation["epoch"],
            generation["generation"],
            generation["hash"][:12],
            generation["when"],
            generation["who"],
            generation["why"],
        )
        for generation in past
    ]
    headings = ("epoch", "generation", "hash", "when", "who", "why")
    session.show(past, lambda: output.table(rows, headings) if rows else "There is no history.")


@config.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@common(changes=False)
@click.pass_obj
def diff(session: Session, a: str, b: str) -> None:
    """Show what differs between two generations."""
    answer = session.call("config.diff", a=whole_number(a, "A"), b=whole_number(b, "B"))
    alike = f"Generations {a} and {b} are alike."
    session.show(answer, lambda: output.listed(answer["lines"]) or alike)
