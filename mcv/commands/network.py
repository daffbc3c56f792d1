"""Networks: names for bridges."""

import click

from mcv.commands import output
from mcv.commands.options import common, networks
from mcv.commands.session import Session


@click.group()
def network() -> None:
    """Give bridges names that mean the same on every node."""


@network.command()
@click.argument("name", metavar="NAME")
@click.option("--bridge", metavar="BR", required=True, help="A bridge that every node has.")
@common()
@click.pass_obj
def create(session: Session, name: str, bridge: str) -> None:
    """Name a bridge; the bridge itself is made on the hosts.

    \b
    Example:
      mcv network create lan --bridge br0
    """
    answer = session.run("network.create", name=name, bridge=bridge)
    session.show(answer, f"Network {name} is the bridge {bridge}.")


@network.command("list")
@common(changes=False)
@click.pass_obj
def list_(session: Session) -> None:
    """List the networks."""
    found = session.call("network.list")
    rows = [(row["name"], row["bridge"], row["vms"]) for row in found]
    session.show(
        found,
        lambda: output.table(rows, ("name", "bridge", "vms")) if rows else "There is no network.",
    )


@network.command()
@click.argument("name", metavar="NAME", shell_complete=networks)
@common()
@click.pass_obj
def delete(session: Session, name: str) -> None:
    """Forget a network that no VM uses; the bridge stays."""
    answer = session.run("network.delete", name=name)
    session.show(answer, f"Network {name} is deleted; the bridge stays.")
