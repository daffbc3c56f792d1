"""Where the cluster's document lies."""

from typing import Any

import click

from mcv.commands.options import common
from mcv.commands.session import Session

RISK = {
    "etcd": (
        "From then on a majority of the nodes makes changes and starts VMs, and a minority "
        "does neither."
    ),
    "unanimous": "From then on every online node has to take part in each change.",
}


@click.command()
@click.argument("kind", metavar="[etcd|unanimous]", required=False, default="")
@common(dry_run=True)
@click.pass_obj
def store(session: Session, kind: str) -> None:
    """Show where the cluster's document lies, or move it.

    \b
    etcd       an etcd that mcv runs on each node, for three nodes and more: a majority
               of them makes changes, whoever of the others is dead
    unanimous  no other program: every online node takes part in each change

    All nodes have to be online for a move. Guests run on meanwhile.

    \b
    Examples:
      mcv cluster store
      mcv cluster store etcd
    """
    if not kind:
        shown = session.call("cluster.store")
        session.show(shown, lambda: _said(shown))
        return
    if kind not in RISK:
        raise click.BadParameter(f"{kind!r} is neither etcd nor unanimous.", param_hint="STORE")
    if kind == "etcd":
        _ask(session, "cluster.store_etcd", kind)
        moved = session.run("cluster.store_etcd", dry_run=session.dry_run)
        session.show(moved, "The document lies in etcd.")
    else:
        _ask(session, "cluster.store_unanimous", kind)
        moved = session.run("cluster.store_unanimous", dry_run=session.dry_run)
        session.show(moved, "The members agree unanimously.")


def _ask(session: Session, operation: str, kind: str) -> None:
    session.ask("Move the document?", lambda: [*session.plan(operation), RISK[kind]])


def _said(shown: dict[str, Any]) -> str:
    if shown["store"] == "unanimous":
        can = "All online members are heard." if shown["quorum"] else "Not all members are heard."
        return f"The members agree unanimously. {can}"
    lines = ["The document lies in etcd.", *map(_voter, shown["voters"])]
    if not shown["quorum"]:
        lines.append("No majority answers: nothing is changed and no VM started.")
    return "\n".join(lines)


def _voter(voter: dict[str, Any]) -> str:
    fsync = voter["fsync_ms"]
    speed = "" if fsync is None else f", its disk takes {fsync:g} ms"
    return f"  {voter['name']}: {voter['state']}{speed}"
