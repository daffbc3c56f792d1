"""Recovery of a VM: define it where it belongs, take it over, take its definition away."""

from collections.abc import Mapping
from typing import Any

import click

from mcv.commands.completion import nodes
from mcv.commands.options import common, vm_argument
from mcv.commands.session import Session


@click.command()
@vm_argument
@click.option(
    "--node",
    metavar="N",
    shell_complete=nodes,
    help="Take it over there, from an owner that is offline in the document.",
)
@click.option(
    "--accept-stale",
    is_flag=True,
    help="Take a replica that may lack what its old owner wrote last: that is lost.",
)
@common(dry_run=True)
@click.pass_obj
def register(session: Session, name: str, node: str | None, accept_stale: bool) -> None:
    """Define a VM where it belongs, or take it over.

    It is taken over from a node that is offline in the document, and from no other.

    \b
    Examples:
      mcv register web1
      mcv register web1 --node n2
    """
    if node is not None and not (session.yes or session.dry_run):
        owner = owner_of(session, name)
        if owner not in (None, node):
            session.ask(
                f"{name} belongs to {owner}. Take it over on {node}?",
                lambda: _prospects(session, name, node, accept_stale),
            )
            _ask_of_shared(session, name, str(owner))
    answer = session.run(
        "vm.register",
        name=name,
        node=node,
        accept_stale=accept_stale,
        dry_run=session.dry_run,
    )
    old = answer.get("taken_over_from")
    session.show(
        answer,
        f"{name} belongs to {answer.get('node')} now; it was taken over from {old}."
        if old
        else f"{name} is defined on {answer.get('node')}.",
    )


def _prospects(session: Session, name: str, node: str, accept_stale: bool) -> list[str]:
    """What a takeover rests on, in words; raises what forbids it."""
    session.plan("vm.register", name=name, node=node, accept_stale=accept_stale)
    return list(session.call("vm.prospects", name=name, node=node))


def _ask_of_shared(session: Session, name: str, owner: str) -> None:
    """Ask once more of disks that the old owner sees, too; Refused unless the answer is yes."""
    shared = [str(row["id"]) for row in session.call("disk.list", name=name) if is_shared(row)]
    if shared:
        disks = f"disk {shared[0]}" if len(shared) == 1 else f"disks {', '.join(shared)}"
        session.answer(
            f"{owner} can still write to {disks} of {name}, which is shared. Is {name} certainly "
            f"off there?"
        )


def is_shared(disk: Mapping[str, Any]) -> bool:
    return bool(disk["storage"] == "shared")


def owner_of(session: Session, name: str) -> str | None:
    """The node that owns a VM; None where there is no such VM, which the daemon will say."""
    owners = {vm["name"]: str(vm["node"]) for vm in session.call("vm.list")}
    return owners.get(name)


@click.command()
@vm_argument
@common()
@click.pass_obj
def unregister(session: Session, name: str) -> None:
    """Take a VM's definition away; the VM and its disks stay."""
    answer = session.run("vm.unregister", name=name)
    session.show(
        answer,
        f"{name} is not defined on {answer['node']} any more. Undo it: mcv register {name}",
    )
