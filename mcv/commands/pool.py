"""Pools: where disks lie."""

from typing import Any

import click

from mcv.commands import output
from mcv.commands.completion import nodes, pools
from mcv.commands.options import common
from mcv.commands.session import Session

name_argument = click.argument("name", metavar="POOL", shell_complete=pools)
location_option = click.option(
    "--location",
    metavar="L",
    help="A directory by its whole path, a volume group, or a thin pool (VG/POOL).",
)


@click.group()
def pool() -> None:
    """Say where disks lie: pools of the nodes.

    A pool is a directory, a volume group, a thin pool or a shared directory.

    The pool `default` is always there: a directory on every node, so that a first VM needs
    nothing else.
    """


@pool.command()
@click.argument("name", metavar="POOL")
@click.option(
    "--type",
    type=click.Choice(["dir", "lvm", "thin", "shared"]),
    required=True,
    help="A directory, a volume group, a thin pool, or a directory that every node mounts.",
)
@location_option
@click.option(
    "--on",
    metavar="NODE[=L]",
    multiple=True,
    shell_complete=nodes,
    help="A node that has it, and its location where it is another; default: every node.",
)
@common(dry_run=True)
@click.pass_obj
def create(
    session: Session, name: str, type: str, location: str | None, on: tuple[str, ...]
) -> None:
    """Make a pool of what the nodes have.

    mcv makes no directory and no volume group.

    \b
    Examples:
      mcv pool create fast --type lvm --location vg0
      mcv pool create fast --type thin --location vg0/thin --on n1 --on n2=vg1/thin
      mcv pool create nfs --type shared --location /mnt/vms
    """
    answer = session.run(
        "pool.create",
        name=name,
        type=type,
        location=location,
        on=list(on),
        dry_run=session.dry_run,
    )
    session.show(answer, lambda: _made(answer))


def _made(answer: dict[str, Any]) -> str:
    places = ", ".join(f"{where} on {node}" for node, where in sorted(answer["nodes"].items()))
    return output.listed([f"Pool {answer['name']} is {places}.", *_locks(answer)])


def _locks(answer: dict[str, Any]) -> list[str]:
    """What the locks of a shared pool's nodes are good for, where some do not exclude others."""
    if not (problems := answer.get("lock_problems")):
        return []
    last = "Between nodes whose locks do not exclude each other no VM is taken over."
    return [*problems, last]


@pool.command("add-node")
@name_argument
@click.option("--node", metavar="N", required=True, shell_complete=nodes, help="The new node.")
@location_option
@common(dry_run=True)
@click.pass_obj
def add_node(session: Session, name: str, node: str, location: str | None) -> None:
    """Let a pool be on one more node.

    By default it is at the location that it has on the others.
    """
    answer = session.run(
        "pool.add_node", name=name, node=node, location=location, dry_run=session.dry_run
    )
    session.show(answer, lambda: _made(answer))


@pool.command("remove-node")
@name_argument
@click.option("--node", metavar="N", required=True, shell_complete=nodes, help="The node.")
@common(dry_run=True)
@click.pass_obj
def remove_node(session: Session, name: str, node: str) -> None:
    """Take a pool off a node where no disk is.

    The directory or group stays.
    """
    answer = session.run("pool.remove_node", name=name, node=node, dry_run=session.dry_run)
    session.show(answer, f"Pool {name} is not on {node} any more.")


@pool.command()
@name_argument
@common(dry_run=True)
@click.pass_obj
def delete(session: Session, name: str) -> None:
    """Forget a pool in which no disk lies.

    The directory, group or thin pool stays.
    """
    session.ask(f"Delete the pool {name}?", lambda: session.plan("pool.delete", name=name))
    answer = session.run("pool.delete", name=name, dry_run=session.dry_run)
    session.show(answer, f"Pool {name} is deleted; what is on the hosts stays.")


@pool.command("list")
@common(changes=False)
@click.pass_obj
def list_(session: Session) -> None:
    """List the pools, and the room that each node has there."""
    found = session.call("pool.list")
    rows = [
        (
            row["name"],
            row["type"],
            node,
            place["location"],
            output.size(place["size"]),
            output.size(place["free"]),
            output.percent(place["used_percent"]),
            place["problem"],
        )
        for row in found
        for node, place in sorted(row["nodes"].items())
    ]
    headings = ("pool", "type", "node", "location", "size", "free", "used", "problem")
    session.show(found, lambda: output.table(rows, headings))
