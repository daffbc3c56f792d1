"""Start, stop, shutdown, reboot, reset, pause and resume: several VMs at a time, a line each."""

import click

from mcv.commands.completion import nodes
from mcv.commands.many import Said, for_each
from mcv.commands.options import common, discard_saved_option, only_given, seconds, vms_argument
from mcv.commands.session import Session, is_plan


@click.command()
@vms_argument
@click.option(
    "--ignore-verify",
    is_flag=True,
    help="Start it although a verification failed; this once, and it is recorded.",
)
@discard_saved_option
@click.option("--without-overlay", is_flag=True, help="This once without its overlay (mcv edit).")
@common(dry_run=True)
@click.pass_obj
def start(
    session: Session,
    names: tuple[str, ...],
    ignore_verify: bool,
    discard_saved: bool,
    without_overlay: bool,
) -> None:
    """Start VMs on the nodes that own them.

    A VM that is saved goes on where it was, with the memory that it had.

    \b
    Examples:
      mcv start web1 web2
      mcv start web1 --ignore-verify
      mcv start web1 --discard-saved
    """

    def work(name: str) -> Said:
        wanted = {"name": name, "ignore_verify": ignore_verify}
        wanted |= only_given(without_overlay=without_overlay)
        if discard_saved:
            wanted["discard_saved"] = True
            session.ask(
                f"Start {name} without the memory that is saved?",
                lambda: session.plan("vm.start", **wanted),
            )
        started = session.run("vm.start", **wanted, **only_given(dry_run=session.dry_run))
        if is_plan(started):
            return Said("\n".join(started["plan"]), started)
        restored = ", with the memory that was saved" if started.get("restored") else ""
        return Said(f"{name} runs on {started['node']}{restored}.")

    for_each(session, names, work)


@click.command()
@vms_argument
@click.option(
    "--on",
    "node",
    metavar="NODE",
    shell_complete=nodes,
    help="Stop the paused or saved copy on a node that lost the VM, not the VM itself.",
)
@common()
@click.pass_obj
def stop(session: Session, names: tuple[str, ...], node: str | None) -> None:
    """Stop VMs at once, as if their plug was pulled.

    What a guest has not written is lost; it is asked nicely by: mcv shutdown. A VM that is to
    start again since its host came up, and cannot yet, is left stopped.

    \b
    Examples:
      mcv stop web1
      mcv stop web1 --on n2
    """

    def work(name: str) -> Said:
        stopped = session.run("vm.stop", name=name, node=node)
        if node is not None:
            return Said(f"The copy of {name} on {stopped['node']} is stopped.")
        return Said(" ".join(filter(None, (f"{name} is stopped.", stopped.get("meanwhile")))))

    for_each(session, names, work)


@click.command()
@vms_argument
@click.option("--wait", is_flag=True, help="Wait until the guest has shut down.")
@click.option(
    "--timeout",
    metavar="S",
    help="With --wait: at most so many seconds; then exit 4: it may still end.",
)
@common()
@click.pass_obj
def shutdown(session: Session, names: tuple[str, ...], wait: bool, timeout: str | None) -> None:
    """Ask guests to shut down (agent, else ACPI).

    A guest need not obey. Ctrl-C ends the waiting; the guest has been asked nevertheless.

    \b
    Examples:
      mcv shutdown web1
      mcv shutdown web1 web2 --wait --timeout 120
    """
    limit = _limit(wait, timeout)

    def work(name: str) -> Said:
        asked = session.run("vm.shutdown", name=name, wait=wait, timeout=limit)
        if asked["state"] == "stopped":
            return Said(f"{name} has shut down.")
        return Said(f"{name} has been asked to shut down.")

    # Those that are waited for are waited for together.
    for_each(session, names, work, at_once=len(names) if wait else 1)


def _limit(wait: bool, timeout: str | None) -> float | None:
    """The seconds of --timeout, which only goes with --wait."""
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait.")
    return seconds(timeout)


@click.command()
@vms_argument
@click.option("--wait", is_flag=True, help="Wait until the guest has been reset.")
@click.option(
    "--timeout",
    metavar="S",
    help="With --wait: at most so many seconds; then exit 4: it may still reboot.",
)
@common()
@click.pass_obj
def reboot(session: Session, names: tuple[str, ...], wait: bool, timeout: str | None) -> None:
    """Ask guests to reboot (agent, else ACPI).

    The guest agent is asked where one is connected; else the power button is pressed, and the
    guest is reset when it has shut down. A guest need not obey: mcv reset presses the reset
    button. Ctrl-C ends the waiting; the guest has been asked nevertheless. The VM keeps the
    hardware that it has: what is pending comes with the next start after a shutdown.

    \b
    Examples:
      mcv reboot web1
      mcv reboot web1 web2 --wait --timeout 120
    """
    limit = _limit(wait, timeout)

    def work(name: str) -> Said:
        asked = session.run("vm.reboot", name=name, wait=wait, timeout=limit)
        if asked["state"] == "rebooted":
            return Said(f"{name} has rebooted.")
        return Said(f"{name} has been asked to reboot.")

    # Those that are waited for are waited for together.
    for_each(session, names, work, at_once=len(names) if wait else 1)


@click.command()
@vms_argument
@common()
@click.pass_obj
def reset(session: Session, names: tuple[str, ...]) -> None:
    """Press the reset button of VMs.

    What a guest has not written is lost.
    """

    def work(name: str) -> Said:
        after = session.run("vm.reset", name=name)
        if after.get("state") == "paused":
            return Said(f"{name} was reset, and is paused as before: mcv resume {name}")
        return Said(f"{name} was reset.")

    for_each(session, names, work)


@click.command()
@vms_argument
@common()
@click.pass_obj
def pause(session: Session, names: tuple[str, ...]) -> None:
    """Pause VMs; their memory is kept, and their disks stay open.

    They go on with: mcv resume.
    """

    def work(name: str) -> Said:
        paused = session.run("vm.pause", name=name)
        return Said(f"{name} is paused on {paused['node']}.")

    for_each(session, names, work)


@click.command()
@vms_argument
@common()
@click.pass_obj
def resume(session: Session, names: tuple[str, ...]) -> None:
    """Resume VMs that are paused.

    Somebody has paused them, or a disk failed or was full. A copy of a VM that runs elsewhere
    does not go on: it is ended by: mcv stop VM --on NODE.
    """

    def work(name: str) -> Said:
        resumed = session.run("vm.resume", name=name)
        return Said(f"{name} runs on {resumed['node']}.")

    for_each(session, names, work)
