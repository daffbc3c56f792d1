"""VMs: move, delete."""

import contextlib
from typing import Any

import click

from mcv.commands.completion import nodes
from mcv.commands.many import Said, for_each
from mcv.commands.options import (
    common,
    discard_saved_option,
    only_given,
    seconds,
    vm_argument,
    vms_argument,
)
from mcv.commands.session import Session, is_plan
from mcv.errors import McvError


@click.command()
@vm_argument
@click.option(
    "--node",
    "to",
    metavar="N",
    shell_complete=nodes,
    help="The node to move to; default: the only other one that it can run on.",
)
@click.option("--online", is_flag=True, help="Move it while it runs.")
@click.option("--bandwidth", metavar="RATE", help="With --online: at most so much per second.")
@click.option(
    "--wait-for-shutdown",
    is_flag=True,
    help="Move it once it has shut down, which nobody asks it to.",
)
@click.option("--timeout", metavar="S", help="With --wait-for-shutdown: refuse after so long.")
@click.option("--start-after-migration", is_flag=True, help="Start it on the new node.")
@click.option(
    "--ignore-verify",
    is_flag=True,
    help="Move it although a verification failed; this once, and it is recorded.",
)
@discard_saved_option
@common(dry_run=True)
@click.pass_obj
def migrate(
    session: Session,
    /,
    name: str,
    to: str | None,
    online: bool,
    bandwidth: str | None,
    wait_for_shutdown: bool,
    timeout: str | None,
    start_after_migration: bool,
    ignore_verify: bool,
    discard_saved: bool,
) -> None:
    """Move a VM to another node, offline or live.

    It goes to the node of its other replica, or to one that has the pools of its disks.

    Disks of one node alone are copied, sparse, and compared; a copy that is cut off is resumed.
    The old disks go last, when the VM is on its new node. With --online they go along while the
    guest writes; --bandwidth is for its memory and these disks together.

    A VM that runs is not moved, unless --online or --wait-for-shutdown says how. The latter
    asks the guest for nothing: shut it down from inside, or with: mcv shutdown VM. While it is
    waited for nothing has been changed, and Ctrl-C leaves everything as it was.

    \b
    Examples:
      mcv migrate web1
      mcv migrate --node n2 --wait-for-shutdown --start-after-migration web1
      mcv migrate --node n2 --online --bandwidth 100MiB web1
    """
    if bandwidth is not None and not online:
        raise click.UsageError("--bandwidth goes with --online.")
    if timeout is not None and not wait_for_shutdown:
        raise click.UsageError("--timeout goes with --wait-for-shutdown.")
    if online and wait_for_shutdown:
        raise click.UsageError("--online and --wait-for-shutdown exclude each other.")
    if online and start_after_migration:
        raise click.UsageError("With --online it runs on: leave --start-after-migration out.")
    wanted: dict[str, Any] = {
        "name": name,
        "to": to,
        "ignore_verify": ignore_verify,
        **only_given(discard_saved=discard_saved),
    }
    operation = "vm.migrate_live" if online else "vm.migrate"
    if online:
        wanted["bandwidth"] = bandwidth
    else:
        wanted |= {
            "wait_for_shutdown": wait_for_shutdown,
            "timeout": seconds(timeout),
            "start_after_migration": start_after_migration,
        }
    if discard_saved:
        ask_discard(session, name, operation, wanted)
    moved = session.run(operation, **wanted, dry_run=session.dry_run)
    runs = " and runs there" if moved.get("started") else ""
    session.show(moved, f"{name} belongs to {moved.get('node')} now{runs}.")


class AllRefused(Exception):
    """A command on several VMs is refused for each of them: there is nothing to ask about."""


@click.command()
@vms_argument
@click.option("--keep-disks", is_flag=True, help="Leave the volumes where they are.")
@discard_saved_option
@common(dry_run=True)
@click.pass_obj
def delete(session: Session, names: tuple[str, ...], keep_disks: bool, discard_saved: bool) -> None:
    """Delete VMs that are stopped, with their disks on every node.

    \b
    Examples:
      mcv delete web1
      mcv delete web1 --keep-disks --yes
    """

    wanted = {"keep_disks": keep_disks, **only_given(discard_saved=discard_saved)}

    refused: dict[str, McvError] = {}

    def shown() -> list[str]:
        lines = []
        for name in dict.fromkeys(names):
            try:
                lines += session.plan("vm.delete", name=name, **wanted)
            except McvError as error:
                # The others are shown nevertheless.
                refused[name] = error
                lines.append(f"  {name}: {error.message}")
        if refused.keys() == set(names):
            raise AllRefused
        return lines

    disks = "keep the disks" if keep_disks else "with all that is on the disks"
    disks += " and the memory that is saved" if discard_saved else ""
    # What is refused for every VM is told, a line for each. What was refused a moment ago may be
    # possible now, and nobody was asked: a VM that was refused is not deleted.
    with contextlib.suppress(AllRefused):
        session.ask(f"Delete {', '.join(names)}, {disks}?", shown)

    def work(name: str) -> Said:
        if name in refused:
            raise refused[name]
        answer = session.run("vm.delete", name=name, **wanted, dry_run=session.dry_run)
        if is_plan(answer):
            return Said("\n".join(answer["plan"]), answer)
        kept = f" Its volumes stay: {', '.join(answer['kept'])}." if answer["kept"] else ""
        return Said(f"{name} is deleted.{kept}")

    for_each(session, names, work)


def ask_discard(session: Session, name: str, operation: str, wanted: dict[str, Any]) -> None:
    """Raise Refused unless the guest's saved memory may be given up; the plan is shown first."""
    session.ask(
        f"Give up the memory of {name} that is saved?", lambda: session.plan(operation, **wanted)
    )


@click.command()
@vm_argument
@click.argument("new", metavar="NEW")
@common(dry_run=True)
@click.pass_obj
def rename(session: Session, name: str, new: str) -> None:
    """Give a stopped VM another name.

    Its UUID stays, and its disks keep the names of their volumes and DRBD resources. What the
    guest calls itself is its own.

    \b
    Example:
      mcv rename web1 www
    """
    renamed = session.run("vm.rename", name=name, new=new, dry_run=session.dry_run)
    session.show(renamed, f"{name} is called {renamed.get('name')} now.")
