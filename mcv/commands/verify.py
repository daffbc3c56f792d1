"""Verification and resync: whether the replicas are alike, and making them so."""

from typing import Any

import click

from mcv.commands import output
from mcv.commands.completion import nodes, vms
from mcv.commands.many import side_by_side
from mcv.commands.options import common, discard_saved_option, flag, only_given, vm_argument
from mcv.commands.session import Session
from mcv.errors import McvError, OutOfSync

# So many are asked for side by side; how many of them run is for each node's mcv.conf to say.
AT_ONCE = 16


@click.command()
@click.argument("names", metavar="[VM...]", nargs=-1, shell_complete=vms)
@click.option("--all", "all_", is_flag=True, help="Verify every VM on DRBD.")
@click.option("--owned", is_flag=True, help="With --all: of these, the VMs of this node.")
@flag("--quiet", help="Say nothing of what is clean, nor how far it is.")
@common()
@click.pass_obj
def verify(session: Session, names: tuple[str, ...], all_: bool, owned: bool) -> None:
    """Compare the replicas of VMs, block by block.

    Waits for the result.

    The VMs may run meanwhile. A VM that is not clean is blocked: it is not started or
    moved until a resync and a clean verification. Exit code 5 says that some VM is not
    clean.

    \b
    Examples:
      mcv verify web1
      mcv verify --all --owned
    """
    if all_ == bool(names):
        raise click.UsageError("Name VMs, or say --all.")
    if owned and not all_:
        raise click.UsageError("--owned goes with --all.")
    wanted = _all(session, owned) if all_ else list(dict.fromkeys(names))
    if not wanted:
        session.show([], "There is nothing to verify.")
        return
    rows: list[dict[str, Any]] = []
    errors: list[McvError] = []
    for outcome in side_by_side(lambda name: _verified(session, name), wanted, AT_ONCE):
        if isinstance(outcome, McvError):
            errors.append(outcome)
        else:
            rows += outcome
    if session.json:
        session.say(output.as_json(rows))
    errors += _complaints(rows)
    if errors:
        raise _together(errors)


def _all(session: Session, owned: bool) -> list[str]:
    """The VMs with a disk on DRBD; those with disks of several kinds are looked for there."""
    here = session.call("cluster.info")["node"] if owned else None
    vms = session.call("vm.list")
    is_any_mixed = any(vm["storage"] == "mixed" for vm in vms)
    replicated = {row["vm"] for row in session.call("drbd.list")} if is_any_mixed else set()
    return [
        vm["name"]
        for vm in vms
        if (vm["storage"] == "drbd" or vm["name"] in replicated) and here in (None, vm["node"])
    ]


def _verified(session: Session, name: str) -> list[dict[str, Any]] | McvError:
    """One VM's rows, told as they come; or what kept it from being verified."""
    try:
        rows: list[dict[str, Any]] = session.run("drbd.verify", name=name)
    except McvError as error:
        return type(error)(f"{name}: {error.message}", error.hint, error.problems)
    if not rows:
        # One that was joined may have come to nothing; silence is not clean.
        return OutOfSync(f"{name}: the verification gave no result.", f"mcv verify {name}")
    for row in rows:
        if not session.json and not session.quiet and row["result"] == "clean":
            session.say(f"{row['vm']} disk {row['disk']} is clean ({row['seconds']:g} s).")
    return rows


def _complaints(rows: list[dict[str, Any]]) -> list[McvError]:
    found: list[McvError] = []
    for row in rows:
        name = row["vm"]
        which = f"{name} disk {row['disk']}"
        if row["result"] == "clean":
            continue
        if row["result"] == "out-of-sync":
            size = output.size(row["out_of_sync"])
            found.append(OutOfSync(f"{which}: {size} out of sync.", f"mcv resync {name}"))
        else:
            said = f"{which}: the verification was {row['result']}."
            found.append(OutOfSync(said, f"mcv verify {name}"))
    return found


def _together(errors: list[McvError]) -> McvError:
    """Everything that is not well as one error, of the worst one's kind."""
    if len(errors) == 1:
        return errors[0]
    code = output.worst(error.exit_code for error in errors)
    kind = next(type(error) for error in errors if error.exit_code == code)
    problems = [
        problem for error in errors for problem in [(error.message, error.hint), *error.problems]
    ]
    return kind("Not everything is verified and clean.", "", problems)


@click.command()
@vm_argument
@click.option(
    "--source",
    metavar="N",
    shell_complete=nodes,
    help="The node whose replica counts; default: the owner.",
)
@discard_saved_option
@common(dry_run=True)
@click.pass_obj
def resync(session: Session, name: str, source: str | None, discard_saved: bool) -> None:
    """Make the other replica of a VM like the owner's.

    Waits until it is. Only the blocks that are known to differ are sent; what the other
    replica holds in them is overwritten. A VM that a failed verification blocked stays so
    until a clean verification: mcv verify VM.

    \b
    Examples:
      mcv resync web1
      mcv resync web1 --source n2
    """
    wanted = {"name": name, "source": source, **only_given(discard_saved=discard_saved)}
    saved = ", and give up its memory that is saved" if discard_saved else ""
    session.ask(
        f"Overwrite the other replica of {name} with that of {source or 'its owner'}{saved}?",
        lambda: session.plan("drbd.resync", **wanted),
    )
    answer = session.run("drbd.resync", **wanted, dry_run=session.dry_run)
    sent = output.size(answer.get("resynced"))
    session.show(
        answer,
        f"The replicas of {name} are alike: {sent} came from {answer.get('source')}. "
        f"Now: mcv verify {name}",
    )
