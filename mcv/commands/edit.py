"""`mcv edit`: an XML overlay on a VM's domain, by an editor, from a file, or taken away."""

from typing import Any

import click

from mcv.commands import editor, output
from mcv.commands import session as sessions
from mcv.commands.completion import files
from mcv.commands.options import common, vm_argument
from mcv.commands.session import Session
from mcv.errors import Refused

EXPLAINED = """\
<!-- mcv: XML that is laid over the domain of {name}. The help of mcv edit
     says more.
     Elements that are named here are set in the domain, or added to it; nothing is taken away.
     Elements of one name are told apart by type, index, name or MAC address. Not to be touched
     are name, UUID, memory, CPUs, disks, metadata, emulator, and mcv's own NICs and consoles.
     An empty domain takes the overlay away. This comment is not kept. Example:
       <devices><watchdog model="i6300esb" action="reset"/></devices>
-->
"""
EMPTY = "<domain>\n</domain>\n"


@click.command()
@vm_argument
@click.option(
    "--file",
    "path",
    metavar="F|-",
    shell_complete=files,
    help="Read the overlay from a file, or stdin.",
)
@click.option("--show", is_flag=True, help="Print the domain's XML as it would be with it.")
@click.option("--remove", is_flag=True, help="Take the overlay away.")
@common(dry_run=True)
@click.pass_obj
def edit(session: Session, name: str, path: str | None, show: bool, remove: bool) -> None:
    """Lay XML over the domain of a VM, for what has no option.

    Without an option the overlay is opened in $VISUAL or $EDITOR,
    with the rights of who typed this. It is judged, tried by the libvirt of each node where the
    VM may run, and shown as a difference before it is taken; it stays when the VM moves. A guest
    that runs has it from its next start on. One that names things of its host (devices, paths,
    QEMU's command line) ties the VM to that host.

    Where a start fails for its overlay: mcv start VM --without-overlay.

    \b
    Examples:
      mcv edit web1
      mcv edit web1 --file overlay.xml --show
      mcv edit web1 --file overlay.xml --yes
      mcv edit web1 --remove
    """
    if remove and (path is not None or show):
        raise click.UsageError("--remove stands alone.")
    if path is not None:
        text: str | None = editor.read(path)
        _take(session, name, text or "", show)
    elif show:
        seen = session.call("vm.overlay", name=name)
        session.show(seen, lambda: str(seen.get("xml") or "").rstrip("\n"))
    elif remove:
        _take(session, name, "", show=False)
    else:
        _interactively(session, name)


def _take(session: Session, name: str, text: str, show: bool) -> None:
    """Have an overlay taken, or only show what it would do."""
    if show:
        seen = session.call("vm.overlay", name=name, overlay=text)
        session.show(seen, lambda: str(seen.get("xml") or "").rstrip("\n"))
        return
    wanted: dict[str, Any] = {"name": name, "overlay": text}
    question = f"Lay this over {name}?" if text else f"Take the overlay of {name} away?"
    session.ask(question, lambda: _effect(session, wanted))
    answer = session.run("vm.edit", **wanted, dry_run=session.dry_run)
    if session.dry_run and not session.json:
        session.tell(_lines(answer))
    session.show(answer, _said(name, answer))


def _effect(session: Session, wanted: dict[str, Any]) -> list[str]:
    """What an overlay would do, to be shown before it is asked for."""
    return _lines(session.run("vm.edit", **wanted, dry_run=True))


def _lines(answer: dict[str, Any]) -> list[str]:
    tied = [f"It cannot leave its node then: {reason}" for reason in answer.get("tied") or ()]
    return [*str(answer.get("diff") or "").splitlines(), *tied]


def _said(name: str, answer: dict[str, Any]) -> str:
    said = "has an overlay" if answer.get("overlay") else "has no overlay any more"
    when = "from its next start on" if answer.get("active") else ""
    tied = f" It cannot leave its node: {' '.join(answer['tied'])}" if answer.get("tied") else ""
    return f"{name} {said}{f', {when}' if when else ''}.{tied}"


def _interactively(session: Session, name: str) -> None:
    """Have the overlay edited until it is taken, or given up."""
    if not sessions.has_terminal():
        raise Refused("There is no terminal to edit in.", f"mcv edit {name} --file F|-")
    before = str(session.call("vm.overlay", name=name).get("overlay") or "")
    comment = EXPLAINED.format(name=name)
    text = before or EMPTY
    while True:
        text = editor.edited(comment + text).replace(comment, "", 1)
        if text.strip() == (before or EMPTY).strip():
            raise Refused(f"The overlay of {name} is as it was; nothing was changed.")
        try:
            _take(session, name, text, show=False)
            return
        except Refused as problem:
            if not _once_more(session, problem):
                raise Refused("The overlay was given up; nothing was changed.") from problem


def _once_more(session: Session, problem: Refused) -> bool:
    """Whether what was refused is to be edited again."""
    session.note(output.error_text(problem))
    try:
        return click.confirm("Edit it again?", default=True, err=True)
    except click.Abort:
        return False
