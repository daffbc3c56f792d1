"""Locks: who holds what."""

from typing import Any

import click

from mcv.commands import output
from mcv.commands.completion import either, nodes, vms
from mcv.commands.options import common
from mcv.commands.session import Session


@click.group()
def locks() -> None:
    """See who holds what, and release what a dead node left."""


@locks.command("list")
@common(changes=False)
@click.pass_obj
def list_(session: Session) -> None:
    """List the cluster's claims and its nodes' locks."""
    found = session.call("locks.list")
    session.show(found, lambda: "\n\n".join(_tables(found)) or "Nothing is held.")


def _tables(found: dict[str, Any]) -> list[str]:
    parts = []
    if found["claims"]:
        keys = ("subject", "operation", "node", "why", "since")
        rows = [[holder[key] for key in keys] for holder in found["claims"]]
        parts.append(output.table(rows, ("claim", *keys[1:])))
    if found["held"]:
        keys = ("name", "node", "why", "since", "pid")
        rows = [[holder[key] for key in keys] for holder in found["held"]]
        parts.append(output.table(rows, ("lock", *keys[1:])))
    return parts + list(found.get("problems", ()))


@locks.command()
@click.argument("name", metavar="VM|NODE", shell_complete=either(vms, nodes))
@common()
@click.pass_obj
def clear(session: Session, name: str) -> None:
    """Release what an operation left on a VM or a node.

    The operation of an offline node is finished or undone where a living node holds its plan.
    Where none does, or it cannot go on, the claim alone ends, and what is half done stays so.
    Try this first: mcv repair.
    """
    session.ask(
        f"End what holds {name}? It is finished or undone where its plan can be read, "
        "else left as it is.",
        lambda: [*session.plan("locks.clear", name=name), *_holders(session, name)],
    )
    answer = session.run("locks.clear", name=name)
    session.show(answer, f"Nothing holds {name} any more.")


def _holders(session: Session, name: str) -> list[str]:
    found = session.call("locks.list")
    mine = {
        "claims": [
            holder
            for holder in found["claims"]
            if holder["subject"] in (name, f"vm:{name}", f"node:{name}")
        ],
        "held": [
            holder
            for holder in found["held"]
            if holder["name"] in (name, f"vm-{name}", f"node-{name}")
        ],
    }
    return _tables(mine)
