"""DRBD of the whole cluster."""

from typing import Any

import click

from mcv.commands import output
from mcv.commands.completion import nodes
from mcv.commands.options import common, discard_saved_option, only_given, vm_argument
from mcv.commands.session import Session


@click.group()
def drbd() -> None:
    """Enable DRBD, list its resources, set rates, end a split brain."""


@drbd.command()
@common(dry_run=True)
@click.pass_obj
def enable(session: Session) -> None:
    """Get every node ready for DRBD; once per cluster."""
    answer = session.run("drbd.enable", **only_given(dry_run=session.dry_run))
    session.show(answer, lambda: f"DRBD is enabled on {', '.join(answer['nodes'])}.")


@drbd.command("list")
@common(changes=False)
@click.pass_obj
def list_(session: Session) -> None:
    """List the resources as each node sees them: role/disk/connection."""
    found = session.call("drbd.list")
    headings = (
        "vm",
        "disk",
        "resource",
        "minor",
        "port",
        "nodes",
        "out of sync",
        "done",
        "verification",
    )
    rows = [_row(disk) for disk in found]
    session.show(
        found, lambda: output.table(rows, headings) if rows else "There is no DRBD resource."
    )


def _row(disk: dict[str, Any]) -> tuple[Any, ...]:
    sides = [
        f"{node}: {output.side(side['role'], side['disk'], side['connection'])}"
        for node, side in sorted(disk["node"].items())
    ]
    return (
        disk["vm"],
        disk["disk"],
        disk["resource"],
        disk["minor"],
        disk["port"],
        "  ".join(sides),
        output.size(disk["out_of_sync"]),
        output.percent(disk["done"]),
        _verification(disk),
    )


def _verification(disk: dict[str, Any]) -> str:
    """What the last verification of a disk said, when, and who asked for it."""
    if disk["result"] in ("never", "running"):
        return str(disk["result"])
    words = [disk["result"], f"{output.age(disk['verified'])} ago by {disk['verified_by']}"]
    return ", ".join([*words, *(["blocked"] if disk["blocked"] else [])])


@drbd.command()
@vm_argument
@click.option(
    "--keep",
    metavar="N",
    required=True,
    shell_complete=nodes,
    help="The node whose data stays.",
)
@discard_saved_option
@common(dry_run=True)
@click.pass_obj
def resolve(session: Session, name: str, keep: str, discard_saved: bool) -> None:
    """End a split brain.

    Both replicas of a VM were written while they were apart. Says how much each side wrote
    since they parted, then discards what the other side wrote, and waits until both are alike.
    The VM may run on the side that is kept.

    \b
    Examples:
      mcv drbd resolve web1 --keep n2 --dry-run
      mcv drbd resolve web1 --keep n2
    """
    said = session.call("drbd.prospects", name=name, keep=keep)
    session.tell(said["lines"])
    saved = ", and its memory that is saved" if discard_saved else ""
    wanted = {"name": name, "keep": keep, **only_given(discard_saved=discard_saved)}
    session.ask(
        f"Discard what {said['lose']} wrote to {name}{saved}?",
        lambda: session.plan("drbd.resolve", **wanted),
    )
    answer = session.run("drbd.resolve", **wanted, dry_run=session.dry_run)
    session.show(answer, f"The replicas of {name} are alike: the data of {keep} stayed.")


@drbd.command("set")
@click.argument("settings", metavar="KEY=VALUE...", nargs=-1, required=True)
@common()
@click.pass_obj
def set_(session: Session, settings: tuple[str, ...]) -> None:
    """Change settings that hold for all resources.

    \b
    Keys:
      resync-rate   how fast replicas are made alike, bytes per second
      verify-rate   how fast they are compared, bytes per second
      on-peer-loss  continue or wait, when the other replica is out of reach

    \b
    Example:
      mcv drbd set resync-rate=100MiB on-peer-loss=continue
    """
    wrong = [text for text in settings if "=" not in text]
    if wrong:
        raise click.UsageError(f"{wrong[0]!r} is not KEY=VALUE.")
    values = {key: value for key, _, value in (text.partition("=") for text in settings)}
    answer = session.run("drbd.set", values=values)
    session.show(answer, lambda: output.fields({key: _shown(key, answer[key]) for key in answer}))


def _shown(key: str, value: Any) -> Any:
    return f"{output.size(value)}/s" if key.endswith("-rate") and value else value
