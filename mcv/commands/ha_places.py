"""Where what is managed may run: failover domains, and ties between VMs and services."""

import click

from mcv.commands import output
from mcv.commands.completion import vms, words
from mcv.commands.ha_managed import domains
from mcv.commands.options import common, whole_number
from mcv.commands.session import Session

SIDES = "together|apart"


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


COMMANDS: tuple[click.Command, ...] = (together, apart, tie, domain)
