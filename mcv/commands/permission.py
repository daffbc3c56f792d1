"""Who may do what."""

from typing import Any

import click

from mcv.commands import output
from mcv.commands.completion import words
from mcv.commands.options import common
from mcv.commands.session import Session

RIGHTS = "view|power|console|change|admin"
NOBODY = "Nobody has a right: every user whom sudo lets run it may do everything."

vm_option = click.option(
    "--vm", metavar="PATTERN", help="For VMs whose names fit, such as 'web*' (default: all)."
)


@click.group()
def permission() -> None:
    """Say who may do what: rights of users and groups over VMs.

    Rights are those of the name that sudo tells (SUDO_USER), and of the %groups that the user
    is in on the node where the command is typed. They hold back those whose sudoers line allows
    mcv alone; a root shell that sudo did not open is no subject of them. While nobody has a
    right, everybody whom sudo lets run it may do everything.
    """


@permission.command()
@click.argument("user", metavar="USER")
@common()
@click.pass_obj
def add(session: Session, user: str) -> None:
    """Make a user a superuser, who may do everything."""
    answer = session.run("permission.add", user=user)
    session.show(answer, f"{user} is a superuser.")


@permission.command()
@click.argument("user", metavar="USER")
@common()
@click.pass_obj
def remove(session: Session, user: str) -> None:
    """Make a user a superuser no longer."""
    answer = session.run("permission.remove", user=user)
    session.show(answer, f"{user} is no superuser any more.{_nobody(session)}")


def _nobody(session: Session) -> str:
    """What it means where the last right was taken away; who took it may be kept from looking."""
    from mcv.errors import NotPermitted

    try:
        left = session.call("permission.list")
    except NotPermitted:
        return ""
    return "" if left["superusers"] or left["grants"] else f" {NOBODY}"


@permission.command()
@click.argument("who", metavar="WHO")
@click.argument("right", metavar="RIGHT", shell_complete=words(RIGHTS))
@vm_option
@common()
@click.pass_obj
def grant(session: Session, who: str, right: str, vm: str | None) -> None:
    """Give WHO, a user or %group, a RIGHT over VMs.

    \b
    view     see the VMs: list, info, top, events, log
    power    start, stop, shut down, reboot, reset, pause, resume, migrate them
    console  their screen and serial line, commands in their guests
    change   create, change, verify and delete them, move their disks
    admin    all else: members, networks, pools, DRBD, permissions, repair

    Each right includes those before it. What belongs to the cluster and to no VM needs a right
    without --vm; nodes, networks, pools and images are seen by whoever sees any VM.

    \b
    Examples:
      mcv permission grant alice admin
      mcv permission grant %operators power
      mcv permission grant bob change --vm web1
    """
    answer = session.run("permission.grant", who=who, right=right, vm=vm)
    fits = "" if vm is None or answer.get("vms") else " No VM has such a name yet."
    session.show(answer, f"{who} has the right {right} over {_over(vm)}.{fits}")


@permission.command()
@click.argument("who", metavar="WHO")
@click.argument("right", metavar="RIGHT", shell_complete=words(RIGHTS))
@vm_option
@common()
@click.pass_obj
def revoke(session: Session, who: str, right: str, vm: str | None) -> None:
    """Take a RIGHT away from WHO that was granted in these words.

    Other grants stay: `mcv permission check WHO` says what is left. Open consoles and screens
    that only this right allowed end within seconds.
    """
    answer = session.run("permission.revoke", who=who, right=right, vm=vm)
    session.show(
        answer,
        f"{who} has no right {right} over {_over(vm)} by a grant any more.{_nobody(session)}",
    )


def _over(vm: str | None) -> str:
    return f"VMs {vm}" if vm else "the cluster and all VMs"


@permission.command("list")
@common(changes=False)
@click.pass_obj
def list_(session: Session) -> None:
    """List the superusers and all grants."""
    answer = session.call("permission.list")
    session.show(answer, lambda: _listed(answer) or NOBODY)


def _listed(answer: dict[str, Any]) -> str:
    rows = [(user, "superuser", "all") for user in answer["superusers"]]
    rows += [(one["who"], one["right"], one["vm"] or "all") for one in answer["grants"]]
    return output.table(rows, ("who", "right", "VMs")) if rows else ""


@permission.command()
@click.argument("who", metavar="WHO")
@common(changes=False)
@click.pass_obj
def check(session: Session, who: str) -> None:
    """Say what WHO, a user or %group, may do, and why.

    Everybody may ask about themselves, admins about all. Groups are those of this node.
    """
    answer = session.call("permission.check", who=who)
    session.show(answer, lambda: _checked(answer))


def _checked(answer: dict[str, Any]) -> str:
    lines = [] if answer["known"] else [f"This node's system does not know {answer['who']}."]
    if answer["open"]:
        return output.listed([*lines, NOBODY])
    if not answer["rights"]:
        return output.listed([*lines, f"{answer['who']} has no right."])
    rows = [(one["right"], one["vm"] or "all", one["by"]) for one in answer["rights"]]
    table = output.table(rows, ("right", "VMs", "by"))
    return "\n".join([output.listed(lines), table] if lines else [table])
