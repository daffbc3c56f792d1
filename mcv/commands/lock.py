"""The administrator's lock on a VM."""

import click

from mcv.commands.options import common, vm_argument
from mcv.commands.session import Session


@click.command()
@vm_argument
@common()
@click.pass_obj
def lock(session: Session, name: str) -> None:
    """Hold a VM as it is.

    No start, stop, migration, update or deletion, until: mcv unlock.
    """
    answer = session.run("vm.lock", name=name)
    session.show(answer, f"{name} is locked. Undo it: mcv unlock {name}")


@click.command()
@vm_argument
@common()
@click.pass_obj
def unlock(session: Session, name: str) -> None:
    """Let go a VM that was held with: mcv lock."""
    answer = session.run("vm.unlock", name=name)
    session.show(answer, f"{name} is unlocked.")
