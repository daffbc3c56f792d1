"""What high availability manages: add, set, remove, list, and the ties between them."""

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

SIDES = "together|apart"


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
    how = f"{answer['max_restarts']} restarts, {answer['max_relocates']} relocations"
    line = (
        f"{said} {answer['wanted']}{where}: {answer['recovery']}, {how} in {answer['window']} s"
        f"{'' if answer['failback'] else ', no failback'}."
    )
    return output.listed([line, *answer["notes"]])


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
    table = output.table([[row[key] or None for key in headings] for row in rows], headings)
    attention = [f"! {row['name']}: {row['attention']}" for row in rows if row["attention"]]
    return "\n".join([table, "", output.listed(attention)]) if attention else table


# Ties


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=vms)
@common()
@click.pass_obj
def together(session: Session, names: tuple[str, ...]) -> None:
    """Have VMs and services run on one node."""
    _tie(session, "together", names)


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=vms)
@common()
@click.pass_obj
def apart(session: Session, names: tuple[str, ...]) -> None:
    """Have VMs and services run each on another node.

    \b
    Example:
      mcv ha apart db1 db2
    """
    _tie(session, "apart", names)


def _tie(session: Session, kind: str, names: tuple[str, ...]) -> None:
    answer = session.run("ha.tie", kind=kind, names=list(names))
    session.show(answer, f"{' and '.join(sorted(set(names)))} run {kind} from now on.")


@click.group()
def tie() -> None:
    """See and forget what runs together, or apart."""


@tie.command("list")
@common(changes=False)
@click.pass_obj
def tie_list(session: Session) -> None:
    """List the ties."""
    rows = session.call("ha.ties")
    cells = [(row["kind"], ", ".join(row["names"])) for row in rows]
    session.show(rows, lambda: output.table(cells, ("kind", "names")) if rows else "No tie.")


@tie.command("remove")
@click.argument("kind", metavar=SIDES, shell_complete=words(SIDES))
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=vms)
@common()
@click.pass_obj
def tie_remove(session: Session, kind: str, names: tuple[str, ...]) -> None:
    """Forget a tie.

    \b
    Example:
      mcv ha tie remove apart db1 db2
    """
    answer = session.run("ha.untie", kind=kind, names=list(names))
    session.show(answer, f"{' and '.join(sorted(set(names)))} are not tied {kind} any more.")


# Failover domains


@click.group()
def domain() -> None:
    """Name nodes that VMs and services prefer."""


@domain.command("create")
@click.argument("name", metavar="D")
@click.option(
    "--node",
    "nodes",
    metavar="N[:PRIORITY]",
    multiple=True,
    required=True,
    help="A node of it; priority 1, which it has at first, is best.",
)
@click.option("--ordered", is_flag=True, help="The node with the best priority is preferred.")
@click.option("--restricted", is_flag=True, help="What is in it runs on its nodes alone.")
@click.option("--no-failback", is_flag=True, help="What was moved stays when a better is back.")
@common()
@click.pass_obj
def domain_create(
    session: Session,
    name: str,
    nodes: tuple[str, ...],
    ordered: bool,
    restricted: bool,
    no_failback: bool,
) -> None:
    """Make a failover domain.

    \b
    Example:
      mcv ha domain create front --node n1:1 --node n2:2 --ordered
    """
    answer = session.run(
        "ha.domain_create",
        name=name,
        nodes={node: whole_number(priority or "1", "--node") for node, priority in _split(nodes)},
        ordered=ordered,
        restricted=restricted,
        failback=not no_failback,
    )
    session.show(answer, f"Failover domain {name}: {_nodes(answer.get('nodes') or {})}.")


def _split(nodes: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(node, priority) for node, _, priority in (text.partition(":") for text in nodes)]


def _nodes(nodes: dict[str, int]) -> str:
    ordered = sorted(nodes.items(), key=lambda item: (item[1], item[0]))
    return ", ".join(f"{node}:{priority}" for node, priority in ordered)


@domain.command("list")
@common(changes=False)
@click.pass_obj
def domain_list(session: Session) -> None:
    """List the failover domains."""
    rows = session.call("ha.domains")
    cells = [
        (
            row["name"],
            _nodes(row["nodes"]),
            *("yes" if row[key] else "no" for key in ("ordered", "restricted", "failback")),
        )
        for row in rows
    ]
    headings = ("name", "nodes", "ordered", "restricted", "failback")
    session.show(rows, lambda: output.table(cells, headings) if rows else "No failover domain.")


@domain.command("delete")
@click.argument("name", metavar="D", shell_complete=domains)
@common()
@click.pass_obj
def domain_delete(session: Session, name: str) -> None:
    """Forget a failover domain that nothing is in."""
    answer = session.run("ha.domain_delete", name=name)
    session.show(answer, f"Failover domain {name} is deleted.")


COMMANDS: tuple[click.Command, ...] = (add, set_, remove, list_, together, apart, tie, domain)
