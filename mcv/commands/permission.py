"""Who may do what."""

import click

from mcv.commands import output
from mcv.commands.options import common
from mcv.commands.session import Session

NOBODY = "No superuser is named: every user whom sudo lets run `mcv` may do everything."


@click.group()
def permission() -> None:
    """Say who may do what.

    Permissions are about the name that sudo tells (SUDO_USER). They hold back those whose
    sudoers line allows mcv alone; a root shell that sudo did not open is no subject of them.
    """


@permission.command()
@click.argument("user")
@common()
@click.pass_obj
def add(session: Session, user: str) -> None:
    """Make a user a superuser, who may do everything."""
    answer = session.run("permission.add", user=user)
    session.show(answer, f"{user} is a superuser.")


@permission.command()
@click.argument("user")
@common()
@click.pass_obj
def remove(session: Session, user: str) -> None:
    """Make a user a superuser no longer."""
    answer = session.run("permission.remove", user=user)
    none = "" if session.call("permission.list")["superusers"] else f" {NOBODY}"
    session.show(answer, f"{user} is no superuser any more.{none}")


@permission.command("list")
@common(changes=False)
@click.pass_obj
def list_(session: Session) -> None:
    """List the superusers."""
    answer = session.call("permission.list")
    users = answer["superusers"]
    session.show(answer, lambda: output.listed(users) or NOBODY)
