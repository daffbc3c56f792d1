"""The administrator's lock on a VM."""

import click

from mcv.commands.options import common, vm_argument
from mcv.commands.session import Session


@click.command()
@vm_argument
@common()
@click.pass_obj
def lock(session: Session, name: str) -> None:
    """Lock a VM against start, stop, migration, update and deletion."""
    answer = session.run("vm.lock", name=name)
    session.show(answer, f"{name} is locked. Undo it: mcv unlock {name}")


@click.command()
@vm_argument
@common()
@click.pass_obj
def unlock(session: Session, name: str) -> None:
    """Release a VM that was locked with: mcv lock."""
    answer = session.run("vm.unlock", name=name)
    session.show(answer, f"{name} is unlocked.")
