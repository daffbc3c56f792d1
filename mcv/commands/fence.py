"""Fencing: which plugs switch a node off, whether they do, and switching it."""

from typing import Any

import click

from mcv.commands import fence_device, output
from mcv.commands.completion import nodes
from mcv.commands.node import DEAD
from mcv.commands.options import common, whole_number
from mcv.commands.session import Session

FOUND_WRONG = 5
TEST = (
    "It loses its power, and everything on it ends at once. Its replicas sync when it is back; a "
    "plug that is another host's switches that one off instead."
)

node_argument = click.argument("node", metavar="NODE", shell_complete=nodes)


@click.group()
def fence() -> None:
    """Make sure that a dead node is off.

    Fence devices switch a node's power: a BMC, a power strip, a hypervisor. They are asked by
    Debian's fence agents (apt install fence-agents). A node has levels, tried in order; all plugs
    of a level have to be off, for a host with two power supplies. A plug counts after a test that
    has seen it switch that very node.

    \b
    Examples:
      mcv fence device add bmc2 --agent fence_ipmilan ip=10.0.9.2 username=root \\
          lanplus=1 --secret-file bmc2.pw
      mcv fence set n2 --level 1 bmc2
      mcv fence test n2 --off
    """


fence.add_command(fence_device.device)


@fence.command("set")
@node_argument
@click.option(
    "--level", required=True, metavar="L", help="1 is tried first; the next number adds a level."
)
@click.argument("plugs", metavar="D[:PORT]...", nargs=-1, required=True)
@common()
@click.pass_obj
def set_(session: Session, node: str, level: str, plugs: tuple[str, ...]) -> None:
    """Say which plugs are a node's, in one of its levels.

    D is a fence device, PORT the plug there, for a device that has several. All plugs of a level
    have to be off before the node counts as off.

    \b
    Examples:
      mcv fence set n2 --level 1 bmc2
      mcv fence set n2 --level 2 pdu1:7 pdu2:7
    """
    wanted = [list(plug.partition(":")[::2]) for plug in plugs]
    number = whole_number(level, "--level")
    rows = session.run("fence.set", node=node, level=number, plugs=wanted)
    session.show(rows, lambda: _rows(rows))


@fence.command()
@node_argument
@click.option("--level", metavar="L", help="Take this level alone; those behind it move up.")
@common()
@click.pass_obj
def unset(session: Session, node: str, level: str | None) -> None:
    """Take a node's plugs away, or one level of them."""
    number = whole_number(level, "--level")
    rows = session.run("fence.unset", node=node, level=number)
    session.show(rows, lambda: _rows(rows) if rows else f"{node} has no fence device any more.")


@fence.command()
@node_argument
@click.option("--off", is_flag=True, help="Switch the node off and on, to see that it is its plug.")
@click.option("--level", metavar="L", help="With --off: this level alone.")
@common(dry_run=True)
@click.pass_obj
def test(session: Session, node: str, off: bool, level: str | None) -> None:
    """Test a node's plugs.

    They are asked; with --off the node is switched off and on by each of its levels in turn. A
    plug counts afterwards, if the node fell silent when it was off, no other node
    did, and it came back in a new boot. The node must run no guest; that takes as long as its
    host needs to boot, for each level. Exit code 5 where a plug is not well.

    \b
    Examples:
      mcv fence test n2
      mcv evacuate n2 && mcv fence test n2 --off
    """
    if level is not None and not off:
        raise click.UsageError("--level goes with --off.")
    if not off:
        rows = session.run("fence.test", node=node)
    else:
        wanted = {"node": node, "level": whole_number(level, "--level")}
        session.ask(
            f"Switch {node} off and on?", lambda: [*session.plan("fence.trial", **wanted), TEST]
        )
        rows = session.run("fence.trial", **wanted, dry_run=session.dry_run)
    session.show(rows, lambda: _rows(rows))
    if isinstance(rows, list) and not all(row["ok"] for row in rows):
        raise click.exceptions.Exit(FOUND_WRONG)


@fence.command()
@node_argument
@common(dry_run=True)
@click.pass_obj
def off(session: Session, node: str) -> None:
    """Switch a node off, and see that it is.

    Levels are tried in order; only plugs that were tested count. --dry-run shows what each agent
    would be told, without secrets, and what it says now.
    """
    session.ask(f"Switch {node} off?", lambda: session.plan("fence.off", node=node))
    rows = session.run("fence.off", node=node, dry_run=session.dry_run)
    session.show(rows, lambda: f"{_rows(rows)}\n{node} is off.")


@fence.command()
@node_argument
@common(dry_run=True)
@click.pass_obj
def on(session: Session, node: str) -> None:
    """Switch a node on, by every plug of it."""
    rows = session.run("fence.on", node=node, dry_run=session.dry_run)
    session.show(rows, lambda: f"{_rows(rows)}\n{node} is on.")


@fence.command()
@click.argument("node", metavar="[NODE]", required=False, shell_complete=nodes)
@common(changes=False)
@click.pass_obj
def status(session: Session, node: str | None) -> None:
    """Ask whether the plugs of a node are on.

    Those of all nodes where none is named.
    """
    rows = session.run("fence.status", node=node or "")
    none = f"{node or 'No node'} has {'no' if node else 'a'} fence device."
    session.show(rows, lambda: _rows(rows) if rows else f"{none} See: mcv fence set --help")


@fence.command()
@node_argument
@common()
@click.pass_obj
def confirm(session: Session, node: str) -> None:
    """Say that a node is dead, where no fence device can.

    The same as mcv node offline NODE --confirm-dead: your word that it is off, so go and look
    first. Refused while it answers in any way, or its lease still moves.
    """
    names = [node]
    session.ask(
        f"Is {node} dead, and off?",
        lambda: [
            *session.plan("node.offline", names=names, confirm_dead=True),
            *session.call("node.last_seen", names=names),
            DEAD,
        ],
    )
    session.run("node.offline", names=names, confirm_dead=True)
    row = {
        "node": node,
        "level": None,
        "device": "",
        "port": "",
        "state": "off",
        "tested": "",
        "ok": True,
        "message": "by an operator's word",
    }
    then = f"Its VMs are taken over by: mcv evacuate {node}"
    session.show([row], f"{node} is offline, by your word. {then}")


def _rows(rows: list[dict[str, Any]]) -> str:
    cells = [
        (
            row["node"],
            row["level"],
            f"{row['device']}:{row['port']}" if row["port"] else row["device"],
            row["state"],
            row["tested"] or "never",
            f"{'' if row['ok'] else '! '}{row['message']}",
        )
        for row in rows
    ]
    return output.table(cells, ("node", "level", "plug", "state", "tested", "message"))
