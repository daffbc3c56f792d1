"""Services of high availability: an address, with units and scripts where it is."""

from typing import Any

import click

from mcv.commands import output
from mcv.commands.completion import nodes, words
from mcv.commands.ha_managed import domains, managed
from mcv.commands.options import common, whole_number
from mcv.commands.session import Session

RECOVERIES = "restart|relocate|disable"
service_argument = click.argument("name", metavar="NAME", shell_complete=managed)


@click.group()
def service() -> None:
    """An address that moves, and what runs where it is.

    The address is on one node at a time. Units of systemd and init scripts are started after it,
    in order, and stopped before it, in reverse. See also: mcv ha list, mcv ha set.
    """


@service.command()
@click.argument("name", metavar="NAME")
@click.option("--address", metavar="IP/LEN", required=True, help="The address, which nobody has.")
@click.option("--bridge", metavar="BR", required=True, help="The bridge of each node for it.")
@click.option("--unit", "units", metavar="U", multiple=True, help="A unit that is not enabled.")
@click.option(
    "--script",
    "scripts",
    metavar="F",
    multiple=True,
    help="A script that knows start, stop and status, by its whole path; root's alone.",
)
@click.option("--domain", metavar="D", shell_complete=domains, help="A failover domain.")
@click.option(
    "--recovery",
    metavar=RECOVERIES,
    shell_complete=words(RECOVERIES),
    help="What is done when it fails; at first restart.",
)
@click.option("--no-monitor-link", is_flag=True, help="A bridge without a link is no failure.")
@click.option("--sleeptime", metavar="S", help="Seconds after a stop before it starts elsewhere.")
@common()
@click.pass_obj
def create(
    session: Session,
    name: str,
    address: str,
    bridge: str,
    units: tuple[str, ...],
    scripts: tuple[str, ...],
    domain: str | None,
    recovery: str | None,
    no_monitor_link: bool,
    sleeptime: str | None,
) -> None:
    """Make a service; it runs when it is started.

    Every node of its domain has the bridge, the units and the same scripts.

    \b
    Example:
      mcv ha service create www --address 192.0.2.80/24 --bridge br0 \\
        --script /etc/init.d/www --domain front
    """
    given: dict[str, Any] = {"domain": domain, "recovery": recovery}
    given |= {"sleeptime": whole_number(sleeptime, "--sleeptime")}
    made = session.run(
        "service.create",
        name=name,
        address=address,
        bridge=bridge,
        units=list(units),
        scripts=list(scripts),
        monitor_link=not no_monitor_link,
        **{key: value for key, value in given.items() if value is not None},
    )
    session.show(made, lambda: _made(made))


def _made(made: dict[str, Any]) -> str:
    line = (
        f"Service {made['name']} with {made['address']} on {made['bridge']} belongs to "
        f"{made['node']}. Start it: mcv ha service start {made['name']}"
    )
    return output.listed([line, *made["notes"]])


@service.command()
@service_argument
@common(dry_run=True)
@click.pass_obj
def start(session: Session, name: str) -> None:
    """Start a service on the node that it belongs to."""
    answer = session.run("service.start", name=name, dry_run=session.dry_run)
    session.show(answer, f"{name} runs on {answer.get('node')}.")


@service.command()
@service_argument
@common(dry_run=True)
@click.pass_obj
def stop(session: Session, name: str) -> None:
    """Stop a service; it stays stopped."""
    answer = session.run("service.stop", name=name, dry_run=session.dry_run)
    lines = [f"{name} is stopped.", *answer.get("notes", [])]
    session.show(answer, lambda: output.listed(lines))


@service.command()
@service_argument
@click.argument("node", metavar="NODE", required=False, shell_complete=nodes)
@click.option("--node", "to", metavar="NODE", shell_complete=nodes, help="The node to move to.")
@common(dry_run=True)
@click.pass_obj
def migrate(session: Session, name: str, node: str | None, to: str | None) -> None:
    """Move a service to another node, where it belongs from then on.

    \b
    Example:
      mcv ha service migrate www --node n2
    """
    if (node is None) == (to is None):
        raise click.UsageError("Say --node NODE.")
    answer = session.run("service.migrate", name=name, to=to or node, dry_run=session.dry_run)
    runs = " and runs there" if answer.get("state") == "started" else ""
    session.show(answer, f"{name} belongs to {answer.get('node')} now{runs}.")


@service.command()
@service_argument
@common()
@click.pass_obj
def refresh(session: Session, name: str) -> None:
    """Take a service's scripts as they are now.

    They are the same on every node of its domain, as when it was made.
    """
    answer = session.run("service.refresh", name=name)
    session.show(answer, f"{name} has its scripts as they are now.")


@service.command()
@service_argument
@common(dry_run=True)
@click.pass_obj
def delete(session: Session, name: str) -> None:
    """Forget a service that is stopped."""
    session.ask(f"Delete {name}?", lambda: session.plan("service.delete", name=name))
    answer = session.run("service.delete", name=name, dry_run=session.dry_run)
    session.show(answer, f"Service {name} is deleted.")
