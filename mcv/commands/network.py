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
@click.option("--bridge", metavar="BR", help="A bridge that every node has.")
@click.option("--nat", is_flag=True, help="A network of each node's own, which leads out by NAT.")
@common()
@click.pass_obj
def create(session: Session, name: str, bridge: str | None, nat: bool) -> None:
    """Name a bridge of the hosts, or make a network by NAT.

    A network by NAT is each node's own: it gives guests addresses and leads them out.
    Nobody outside reaches them, and guests on two nodes do not reach each other.

    \b
    Examples:
      mcv network create lan --bridge br0
      mcv network create out --nat
    """
    if (bridge is None) != nat:
        raise click.UsageError("Say --bridge BR or --nat, and not both.")
    wanted = {"nat": True} if nat else {"bridge": bridge}
    answer = session.run("network.create", name=name, **wanted)
    how = "leads out by NAT on each node" if nat else f"is the bridge {bridge}"
    session.show(answer, f"Network {name} {how}.")


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
